package millicast

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// OwnLabel begins the labels of the publishing tokens that oncue makes.
const OwnLabel = "oncue:"

const maxLabel = 128 // characters

// An OwnToken is the publishing token that oncue makes for a stream, or for all streams that a
// pattern of the configuration matches.
type OwnToken struct {
	Name    string // the stream's, or the pattern
	Streams TokenName
}

// Label is the label by which the token is found again. A name that is too long for one ends in a
// checksum.
func (o OwnToken) Label() string {
	label := OwnLabel + o.Name
	if letters := []rune(label); len(letters) > maxLabel {
		sum := sha256.Sum256([]byte(o.Name))
		end := "~" + hex.EncodeToString(sum[:8])
		label = string(letters[:maxLabel-len(end)]) + end
	}
	return label
}

// Among returns those of all tokens that are this one, oldest first: there are several while one
// replaces the other.
func (o OwnToken) Among(all []PublishToken) []PublishToken {
	own := slices.DeleteFunc(slices.Clone(all), func(t PublishToken) bool { return t.Label != o.Label() })
	slices.SortFunc(own, func(a, b PublishToken) int { return a.ID - b.ID })
	return own
}

// IsOwn reports whether oncue made the token, here or elsewhere.
func (t PublishToken) IsOwn() bool { return strings.HasPrefix(t.Label, OwnLabel) }

// Restreams reports whether the token's streams are sent on to another platform.
func (t PublishToken) Restreams() bool { return slices.ContainsFunc(t.Restream, Restream.On) }

// MayPublish reports whether the token is for the stream. Expressions that Go does not understand
// count as matching: the platform's are of another dialect.
func (t PublishToken) MayPublish(stream string) bool {
	return slices.ContainsFunc(t.Streams, func(n TokenName) bool {
		if !n.IsRegex {
			return n.Name == stream
		}
		whole, err := regexp.Compile("^(?:" + n.Name + ")$")
		return err != nil || whole.MatchString(stream)
	})
}

// Unusable says why nobody can publish with the token at a time, "" if somebody can.
func (t PublishToken) Unusable(now time.Time) string {
	switch {
	case !t.Active:
		return "is disabled"
	case !t.Expires.IsZero() && !now.Before(t.Expires):
		return "expired at " + t.Expires.UTC().Format(time.RFC3339)
	}
	return ""
}

// EnsureOwnToken returns the token for o: the one with the id kept if it is among all, else the
// oldest usable one with its label, else a new one. All are the account's tokens as they are now,
// for a token that is not looked for first is made twice. A token that lacks its streams gets them.
func (c *Client) EnsureOwnToken(
	ctx context.Context, o OwnToken, all []PublishToken, kept int,
) (PublishToken, error) {
	own := o.Among(all)
	at := slices.IndexFunc(own, func(t PublishToken) bool { return t.ID == kept })
	if at < 0 {
		at = slices.IndexFunc(own, func(t PublishToken) bool { return t.Unusable(time.Now()) == "" })
	}
	if at < 0 && len(own) > 0 {
		return PublishToken{}, fmt.Errorf("publishing token %d (%s) %s; %w",
			own[0].ID, o.Label(), own[0].Unusable(time.Now()), ErrNoUsableToken)
	}
	if at < 0 {
		return c.MakeOwnToken(ctx, o, nil)
	}
	t := own[at]
	if !slices.Contains(t.Streams, o.Streams) {
		return c.UpdateToken(ctx, t.ID, TokenChange{AddStreams: []TokenName{o.Streams}})
	}
	if !t.Value.Set() {
		return c.Token(ctx, t.ID)
	}
	return t, nil
}

// MakeOwnToken makes a token for o beside those that the caller knows by their ids. When somebody
// else makes one at the same moment, both end up with the older one.
func (c *Client) MakeOwnToken(ctx context.Context, o OwnToken, known []int) (PublishToken, error) {
	made, err := c.CreateToken(ctx, TokenSpec{
		Label: o.Label(), Streams: []TokenName{o.Streams}, Thumbnails: true, Multisource: true,
	})
	if err != nil {
		return PublishToken{}, err
	}
	all, err := c.TokensByLabel(ctx, o.Label())
	if err != nil {
		return made, nil // it is good, whether or not it is alone
	}
	for _, t := range o.Among(all) {
		if t.ID < made.ID && !slices.Contains(known, t.ID) && t.Unusable(time.Now()) == "" && t.Value.Set() {
			return t, c.DeleteToken(ctx, made.ID)
		}
	}
	return made, nil
}
