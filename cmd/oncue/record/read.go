package record

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Exchange is a request, and what came back where that was recorded.
type Exchange struct {
	Method  string
	URL     *url.URL
	Headers http.Header
	Body    string
	Answer  *Answer // nil: not recorded

	digest, insecure bool   // how curl was told to go about it
	socket           string // path of a unix socket, for curl
}

// Answer is what the box said.
type Answer struct {
	Status int
	Type   string // of the body, as the box said
	Body   string
}

// Read reads a HAR file or curl commands. Errors hold nothing of the requests.
func Read(text []byte) ([]Exchange, error) {
	var all []Exchange
	var err error
	if trimmed := bytes.TrimSpace(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))); bytes.HasPrefix(trimmed, []byte("{")) {
		all, err = readHAR(trimmed)
	} else {
		all, err = readCurl(string(text))
	}
	if err == nil && len(all) == 0 {
		err = errors.New("it holds no request: it must be a HAR file, or lines that begin with curl")
	}
	return all, err
}

func readHAR(text []byte) ([]Exchange, error) {
	type pair struct{ Name, Value string }
	var file struct {
		Log struct {
			Entries []struct {
				Request struct {
					Method, URL string
					Headers     []pair
					PostData    *struct {
						Text   string
						Params []pair
					}
				}
				Response struct {
					Status  int
					Content struct{ MimeType, Text, Encoding string }
				}
			}
		}
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, errors.New("it is no HAR file: its JSON cannot be read")
	}
	var all []Exchange
	for i, entry := range file.Log.Entries {
		u, err := url.Parse(entry.Request.URL)
		if err != nil {
			return nil, fmt.Errorf("request %d: its address cannot be read", i+1)
		}
		x := Exchange{Method: strings.ToUpper(entry.Request.Method), URL: u, Headers: http.Header{}}
		for _, h := range entry.Request.Headers {
			if !strings.HasPrefix(h.Name, ":") { // of HTTP/2
				x.Headers.Add(h.Name, h.Value)
			}
		}
		if p := entry.Request.PostData; p != nil {
			x.Body = p.Text
			if form := (url.Values{}); x.Body == "" {
				for _, pair := range p.Params {
					form.Add(pair.Name, pair.Value)
				}
				x.Body = form.Encode()
			}
		}
		if r := entry.Response; r.Status > 0 {
			body := r.Content.Text
			if r.Content.Encoding == "base64" {
				plain, _ := base64.StdEncoding.DecodeString(body)
				body = string(plain)
			}
			x.Answer = &Answer{Status: r.Status, Type: r.Content.MimeType, Body: body}
		}
		all = append(all, x)
	}
	return all, nil
}
