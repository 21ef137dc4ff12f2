package millicast

import (
	"crypto/fips140"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"errors"

	"github.com/oncue/oncue/configs/secret"
)

// SignatureHeader carries the signature of a delivery's body.
const SignatureHeader = "X-Millicast-Signature"

const signaturePrefix = "sha1="

// Sign signs body as the platform does: "sha1=" and the lower-case hex of HMAC-SHA1 over the raw
// body, keyed with the base64-decoded webhook secret (source: the platform's webhook
// documentation). A secret that [CheckSecret] refuses for its encoding gives "", which verifies
// nowhere.
func Sign(key secret.Value, body []byte) string {
	raw, err := base64.StdEncoding.Strict().DecodeString(key.Reveal())
	if err != nil || len(raw) == 0 {
		return ""
	}
	mac := hmac.New(sha1.New, raw)
	mac.Write(body)
	return signaturePrefix + hex.EncodeToString(mac.Sum(nil))
}

// CheckSecret says what is wrong with a webhook secret, without showing it: it must be standard
// base64, and not empty. The platform chooses its length.
func CheckSecret(key secret.Value) error {
	_, err := decodeSecret(key)
	return err
}

// CheckSigning reports an error when this process must not compute HMAC-SHA1, the platform's only
// signature.
func CheckSigning() error {
	if fips140.Enforced() {
		return errors.New("the platform signs with HMAC-SHA1, which GODEBUG=fips140=only forbids: " +
			"use fips140=on or off")
	}
	return nil
}

func decodeSecret(key secret.Value) ([]byte, error) {
	if !key.Set() {
		return nil, errors.New("webhook secret: it is empty")
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(key.Reveal())
	if err != nil {
		return nil, errors.New("webhook secret: it is not base64; copy it as the platform shows it")
	}
	if len(raw) == 0 {
		return nil, errors.New("webhook secret: it is empty")
	}
	return raw, nil
}
