# oncue with FFmpeg, as an unprivileged user, without a shell.
#
#   docker build --build-arg VERSION=1.0.0 --build-arg COMMIT="$(git rev-parse HEAD)" --build-arg DATE="$(git log -1 --format=%cI)" -t oncue .
#   docker run --init -p 8080:8080 -v ./oncue.yaml:/etc/oncue/oncue.yaml:ro -v oncue:/var/lib/oncue oncue
#
# In oncue.yaml: listen ":8080". To see the admin side from outside the container give it admin.listen ":8081" and a token, and publish that port.
# --init reaps encoders whose parent has gone. Encoders live in the container and end with it: set on_exit: stop, and docker stop -t 30.

FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=devel COMMIT= DATE=
RUN CGO_ENABLED=1 go build -trimpath -buildvcs=false -tags sqlite_omit_load_extension \
    -ldflags "-s -w -X main.version=$VERSION -X main.commit=$COMMIT -X main.date=$DATE" -o /out/oncue ./cmd/oncue

# FFmpeg and what it links with, in a tree of its own: the programs, the libraries they name, certificates, the user, and the folders to write to.
FROM debian:bookworm-slim AS files
RUN apt-get update && apt-get install -y --no-install-recommends ffmpeg ca-certificates tzdata
COPY --from=build /out/oncue /usr/bin/oncue
RUN mkdir -p /tree/etc/oncue /tree/etc/ssl/certs /tree/tmp /tree/usr/share /tree/var/lib/oncue \
    && { echo /usr/bin/oncue; echo /usr/bin/ffmpeg; ldd /usr/bin/oncue /usr/bin/ffmpeg | grep -oE '/[^ ]+\.so[^ ]*'; \
         find /lib /usr/lib -name 'libnss_dns.so*' -o -name 'libnss_files.so*'; } | sort -u | xargs -I{} cp -L --parents {} /tree \
    && cp -r /usr/share/zoneinfo /tree/usr/share/ \
    && cp -L /etc/ssl/certs/ca-certificates.crt /tree/etc/ssl/certs/ \
    && echo 'oncue:x:65532:65532::/var/lib/oncue:/usr/sbin/nologin' > /tree/etc/passwd \
    && echo 'oncue:x:65532:' > /tree/etc/group \
    && echo 'hosts: files dns' > /tree/etc/nsswitch.conf \
    && chmod 1777 /tree/tmp && chmod 700 /tree/var/lib/oncue

FROM scratch
COPY --from=files /tree/ /
COPY --from=files --chown=65532:65532 /tree/var/lib/oncue /var/lib/oncue
USER 65532:65532
ENV PATH=/usr/bin HOME=/var/lib/oncue SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
VOLUME /var/lib/oncue
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/oncue"]
CMD ["serve"]
