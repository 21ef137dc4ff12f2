package millicast

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"hash"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/oncue/oncue/configs/secret"
)

// signature is a decoded MAC.
type signature [sha1.Size]byte

// parseSignature accepts "sha1=" and 40 lower-case hex digits, which is all that the platform
// sends.
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

// HasSignature reports whether a delivery has a well-formed signature.
func HasSignature(h http.Header) bool {
	texts := h[SignatureHeader]
	if len(texts) != 1 {
		return false
	}
	_, ok := parseSignature(texts[0])
	return ok
}

// verify returns the keys that verify the delivery. When none does, the delivery is held in case
// that it is the platform's and only oncue's secrets are out of date.
func (r *Receiver) verify(d Delivery, sig signature) []*key {
	for {
		ring := r.ring.Load()
		if keys := ring.verify(sig, d.Body); len(keys) > 0 {
			return keys
		}
		if r.hold(d, sig, ring) {
			break
		}
		// SetSecrets has come in between, and no longer looks for held deliveries: verify again.
	}
	if r.forged.Allow() {
		r.log.Warn("a delivery was refused: no webhook secret verifies it", "via", d.Via, "size", len(d.Body),
			"refused_so_far", r.stats.results[causeBadSignature].Load()+1)
	}
	return nil
}

// keyring is the secrets of all accounts, ready to verify with. It is not changed once it is in
// use.
type keyring struct {
	keys     []*key             // by account, then in the order of the account's list
	accounts map[string]*moment // when the account's last delivery came
}

type key struct {
	account string
	index   int // place in the account's list, for reports that must not show the secret
	text    secret.Value
	macs    sync.Pool // of hash.Hash keyed with this secret
	last    *moment   // when it last verified a delivery
	heard   *moment   // keyring.accounts of its account
}

// newKeyring decodes the secrets. The errors name account and place, never the secret.
func newKeyring(secrets map[string][]secret.Value) (*keyring, error) {
	ring := &keyring{accounts: map[string]*moment{}}
	for account, list := range secrets {
		ring.accounts[account] = &moment{}
		for i, text := range list {
			raw, err := decodeSecret(text)
			if err != nil {
				return nil, fmt.Errorf("account %s: number %d: %w", account, i+1, err)
			}
			k := &key{account: account, index: i, text: text, last: &moment{}, heard: ring.accounts[account]}
			k.macs.New = func() any { return hmac.New(sha1.New, raw) }
			ring.keys = append(ring.keys, k)
		}
	}
	slices.SortFunc(ring.keys, func(a, b *key) int {
		return cmp.Or(cmp.Compare(a.account, b.account), cmp.Compare(a.index, b.index))
	})
	return ring, nil
}

// inherit copies from old when accounts and secrets were last used. The ring is not in use yet.
func (r *keyring) inherit(old *keyring) {
	for account := range r.accounts {
		if heard, ok := old.accounts[account]; ok {
			r.accounts[account] = heard
		}
	}
	for _, k := range r.keys {
		k.heard = r.accounts[k.account]
		for _, o := range old.keys {
			if o.account == k.account && o.text.Equal(k.text.Reveal()) {
				k.last = o.last
			}
		}
	}
}

// verify returns every key that made sig over body; two accounts may share a secret. It tries all
// keys and compares in constant time, so that the time it takes does not show which key came close.
func (r *keyring) verify(sig signature, body []byte) (found []*key) {
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

func (k *key) used(at time.Time) {
	k.last.set(at)
	k.heard.set(at)
}
