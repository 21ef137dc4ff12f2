package millicast

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"
	"sync"

	"github.com/oncue/oncue/configs/secret"
)

// signature is a decoded MAC.
type signature [sha1.Size]byte

// parseSignature takes "sha1=" and 40 lower-case hex digits, which is all that the platform sends, and nothing else.
func parseSignature(text string) (sig signature, ok bool) {
	if len(text) != len(signaturePrefix)+2*sha1.Size || text[:len(signaturePrefix)] != signaturePrefix {
		return sig, false
	}
	var digits [2 * sha1.Size]byte
	copy(digits[:], text[len(signaturePrefix):])
	for _, c := range digits {
		if c >= 'A' && c <= 'F' {
			return sig, false
		}
	}
	_, err := hex.Decode(sig[:], digits[:])
	return sig, err == nil
}

// keyring holds the secrets of all accounts, ready to verify with. It is never changed once made.
type keyring struct {
	keys []*key
}

type key struct {
	account string
	index   int // place in the account's list, for reports that must not show the secret
	text    secret.Value
	macs    sync.Pool // of hash.Hash keyed with this secret
}

// newKeyring decodes the secrets. The errors name account and place, never the secret.
func newKeyring(secrets map[string][]secret.Value) (*keyring, error) {
	ring := &keyring{}
	for account, list := range secrets {
		for i, text := range list {
			raw, err := decodeSecret(text)
			if err != nil {
				return nil, fmt.Errorf("account %s: number %d: %w", account, i+1, err)
			}
			k := &key{account: account, index: i, text: text}
			k.macs.New = func() any { return hmac.New(sha1.New, raw) }
			ring.keys = append(ring.keys, k)
		}
	}
	slices.SortFunc(ring.keys, func(a, b *key) int {
		if a.account != b.account {
			if a.account < b.account {
				return -1
			}
			return 1
		}
		return a.index - b.index
	})
	return ring, nil
}

// verify appends to found every key that made sig over body. All keys are tried, whatever was found, and compared in constant time: the time
// taken does not tell which key came close. Two accounts may share a secret, so there can be several.
func (r *keyring) verify(found []*key, sig signature, body []byte) []*key {
	for _, k := range r.keys {
		if k.made(sig, body) {
			found = append(found, k)
		}
	}
	return found
}

func (k *key) made(sig signature, body []byte) bool {
	mac := k.macs.Get().(hash.Hash)
	mac.Reset()
	mac.Write(body)
	var sum signature
	mac.Sum(sum[:0])
	k.macs.Put(mac)
	return hmac.Equal(sum[:], sig[:])
}
