package simulator

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast"
)

// The calls about publishing tokens, with the answers and refusals of the examples in the API's
// reference of 2026-09 (tags PublishTokenV1, PublishTokenV2 and Stream).

const (
	maxTokenPage = 100           // tokens
	maxExpires   = math.MaxInt32 // seconds
)

// refusal is a "fail" whose data is an object.
type refusal struct{ data any }

func (r refusal) Error() string {
	text, err := json.Marshal(r.data)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// invalid is how the API refuses a member or parameter.
func invalid(name, words string) error {
	return refusal{map[string]any{"errors": map[string]any{name: []string{words}}, "message": "Validation errors"}}
}

func length(name, text string, most int) error {
	if n := utf8.RuneCountInString(text); n < 1 || n > most {
		return invalid(name, fmt.Sprintf("The field %s must be a string with a length from 1 to %d.", name, most))
	}
	return nil
}

func noToken(id string) error {
	return refusal{map[string]string{"tokenId": "No publish token with id: " + id}}
}

// object is a token as the API shows it, its value included.
func (t *token) object() any {
	raw, err := json.Marshal(t.Token)
	if err != nil {
		panic(err) // the type has nothing that cannot be marshalled
	}
	object := map[string]any{
		"id": t.ID, "token": t.Value.Reveal(), "addedOn": jsonTime(t.Added), "expiresOn": jsonTime(t.Expires),
		"effectiveSettings": map[string]any{"originCluster": cmp.Or(t.OriginCluster, "auto")},
	}
	if err := json.Unmarshal(raw, &object); err != nil {
		panic(err)
	}
	lists := []string{"allowedOrigins", "allowedIpAddresses", "allowedCountries", "deniedCountries", "restream"}
	for _, list := range lists {
		if object[list] == nil {
			object[list] = []any{}
		}
	}
	return object
}

// change is the body of a call that makes or changes a token.
type change map[string]json.RawMessage

func readChange(r *http.Request) (change, error) {
	var keys change
	if err := readJSON(r, &keys); err != nil {
		return nil, err
	}
	plain := change{}
	for name, raw := range keys {
		// Version 1 of the API calls some members so.
		if rest, ok := strings.CutPrefix(name, "update"); ok && rest != "" {
			name = strings.ToLower(rest[:1]) + rest[1:]
		}
		plain[name] = raw
	}
	return plain, nil
}

// into decodes the members that into has. One that is null stays as it was, unless it can be
// cleared.
func (c change) into(into any) error {
	raw, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, into); err != nil {
		field := "body"
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			field, _, _ = strings.Cut(wrong.Field, ".")
		}
		return invalid(field, millicast.Misfit(err))
	}
	return nil
}

func (s *Simulator) createToken(r *http.Request) (any, error) {
	keys, err := readChange(r)
	if err != nil {
		return nil, err
	}
	made := Token{Multisource: true, LowLatencyRTMP: true} // what the reference says of members left out
	var more struct{ Expires *int }                        // seconds, real time
	if err := errors.Join(keys.into(&made), keys.into(&more)); err != nil {
		return nil, err
	}
	made.Active = true
	s.mu.Lock()
	defer s.mu.Unlock()
	if more.Expires != nil {
		if *more.Expires < 1 || *more.Expires > maxExpires {
			return nil, invalid("expires", fmt.Sprintf("The field Expires must be between 1 and %d.", maxExpires))
		}
		made.Expires = s.now().Add(time.Duration(*more.Expires) * time.Second)
	}
	t, err := s.tokens.add(made, s.now())
	if err != nil {
		return nil, err
	}
	return t.object(), nil
}

func (s *Simulator) getToken(r *http.Request) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.namedToken(r)
	if err != nil {
		return nil, err
	}
	return t.object(), nil
}

// namedToken is the token whose id the path has. Called with mu held.
func (s *Simulator) namedToken(r *http.Request) (*token, error) {
	text := r.PathValue("id")
	id, err := strconv.Atoi(text)
	if err != nil {
		return nil, invalid("tokenId", fmt.Sprintf("The value '%s' is not valid.", text))
	}
	if t := s.tokens.find(id); t != nil {
		return t, nil
	}
	return nil, noToken(text)
}

func (s *Simulator) updateToken(r *http.Request) (any, error) {
	keys, err := readChange(r)
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, refusal{map[string]string{"token": "No properties specified to update."}}
	}
	s.mu.Lock()
	t, err := s.namedToken(r)
	if err != nil {
		s.mu.Unlock()
		return nil, err
	}
	revoked, err := s.changeToken(t, keys)
	if err != nil {
		s.mu.Unlock()
		return nil, err
	}
	var ended []*feed
	if revoked && s.behaviour.RevokingCuts {
		ended = s.cut(t.ID, errRevoked)
	}
	object := t.object()
	s.mu.Unlock()
	hangUp(ended, errRevoked)
	return object, nil
}

var errRevoked = errors.New("the publishing token was revoked")

func hangUp(list []*feed, cause error) {
	for _, f := range list {
		f.disconnect(cause)
	}
}

// changeToken changes a token, wholly or not at all, and reports whether its publishers would not
// be let in any more. Called with mu held.
func (s *Simulator) changeToken(t *token, keys change) (revoked bool, err error) {
	delete(keys, "streams") // they are added and removed one by one
	changed := token{bound: t.bound}
	if err := copyJSON(t.Token, &changed.Token); err != nil {
		return false, err
	}
	changed.ID, changed.Value, changed.Added, changed.Expires = t.ID, t.Value, t.Added, t.Expires
	var more struct {
		AddTokenStreams    []TokenStream
		RemoveTokenStreams []string
		RefreshToken       bool
	}
	if err := errors.Join(keys.into(&changed.Token), keys.into(&more)); err != nil {
		return false, err
	}
	changed.Streams = slices.DeleteFunc(changed.Streams, func(s TokenStream) bool {
		return slices.Contains(more.RemoveTokenStreams, s.Name)
	})
	changed.Streams = append(changed.Streams, more.AddTokenStreams...)
	if err := changed.check(); err != nil {
		return false, err
	}
	if changed.Record != t.Record && len(s.tokenFeeds(t.ID)) > 0 {
		// Source: "The recording property cannot be updated while the token is being used in a live
		// broadcast" ("How-to Start Recording").
		return false, invalid("record", "Record cannot be updated while the token is in use.")
	}
	if more.RefreshToken {
		changed.Value = newTokenValue()
	}
	*t = changed
	return more.RefreshToken || !t.Active, nil
}

// copyJSON copies a token so deep that changing the copy leaves the first as it was.
func copyJSON(from Token, into *Token) error {
	raw, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, into)
}

// deleteToken removes a token and disconnects its publishers (source: the vendor's changelog of the
// REST APIs, 2025-05-30).
func (s *Simulator) deleteToken(r *http.Request) (any, error) {
	s.mu.Lock()
	t, err := s.namedToken(r)
	if err != nil {
		s.mu.Unlock()
		return nil, err
	}
	s.tokens.list = slices.DeleteFunc(s.tokens.list, func(other *token) bool { return other == t })
	ended := s.cut(t.ID, errRevoked)
	s.mu.Unlock()
	hangUp(ended, errRevoked)
	return true, nil
}

// disableTokens disables those that are there and names the others.
func (s *Simulator) disableTokens(r *http.Request) (any, error) {
	var asked struct{ TokenIDs []int }
	if err := readJSON(r, &asked); err != nil {
		return nil, err
	}
	if len(asked.TokenIDs) == 0 {
		return nil, invalid("tokenIds", "The field TokenIds must have at least one item.")
	}
	done, failed, ended := []int{}, []map[string]any{}, []*feed(nil)
	s.mu.Lock()
	for _, id := range asked.TokenIDs {
		t := s.tokens.find(id)
		if t == nil {
			words := fmt.Sprintf("No publish token with id: %d", id)
			failed = append(failed, map[string]any{"tokenId": id, "errorMessage": words})
			continue
		}
		t.Active = false
		done = append(done, id)
		if s.behaviour.RevokingCuts {
			ended = append(ended, s.cut(id, errRevoked)...)
		}
	}
	s.mu.Unlock()
	hangUp(ended, errRevoked)
	return map[string]any{"successfulTokens": done, "failedTokens": failed}, nil
}

func (s *Simulator) listTokens(r *http.Request) (any, error) {
	return s.tokenPage(r, func(*token) bool { return true })
}

// listTokensByName finds tokens whose label, or whose stream, has the text in its name. Tokens with
// wildcard streams are left out (source: the reference), which are those for any stream name here.
func (s *Simulator) listTokensByName(r *http.Request) (any, error) {
	name := r.URL.Query().Get("name")
	if name == "" {
		return nil, invalid("name", "The Name field is required.")
	}
	by := cmp.Or(r.URL.Query().Get("filterBy"), "TokenOrStreamName")
	if !slices.Contains([]string{"None", "TokenName", "StreamName", "TokenOrStreamName"}, by) {
		return nil, invalid("filterBy", fmt.Sprintf("The value '%s' is not valid for FilterBy.", by))
	}
	return s.tokenPage(r, func(t *token) bool {
		if slices.Contains(t.Streams, TokenStream{".*", true}) {
			return false
		}
		stream := slices.ContainsFunc(t.Streams, func(s TokenStream) bool { return strings.Contains(s.Name, name) })
		switch label := strings.Contains(t.Label, name); by {
		case "TokenName":
			return label
		case "StreamName":
			return stream
		default:
			return label || stream
		}
	})
}

// tokenPage answers a listing: a bare array, empty beyond the end.
func (s *Simulator) tokenPage(r *http.Request, wanted func(*token) bool) (any, error) {
	page, err1 := pageNumber(r, "page", math.MaxInt32)
	size, err2 := pageNumber(r, "itemsOnPage", maxTokenPage)
	descending, _, err3 := boolParam(r, "isDescending")
	sortBy := cmp.Or(r.URL.Query().Get("sortBy"), "Name")
	if err := cmp.Or(err1, err2, err3); err != nil {
		return nil, err
	}
	if sortBy != "Name" && sortBy != "AddedOn" {
		return nil, invalid("sortBy", fmt.Sprintf("The value '%s' is not valid for SortBy.", sortBy))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*token
	for _, t := range s.tokens.list {
		if wanted(t) {
			list = append(list, t)
		}
	}
	slices.SortStableFunc(list, func(a, b *token) int {
		order := cmp.Compare(a.ID, b.ID)
		if sortBy == "Name" {
			order = cmp.Or(strings.Compare(a.Label, b.Label), order)
		}
		if descending {
			return -order
		}
		return order
	})
	objects := []any{}
	for i := min((page-1)*size, len(list)); i < min(page*size, len(list)); i++ {
		objects = append(objects, list[i].object())
	}
	return objects, nil
}

// pageNumber reads a number of a page, or of items on one, from the query; it is required.
func pageNumber(r *http.Request, name string, most int) (int, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return 0, invalid(name, fmt.Sprintf("A value for the '%s' parameter or property was not provided.", name))
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		capital := strings.ToUpper(name[:1]) + name[1:]
		return 0, invalid(name, fmt.Sprintf("The field %s must be between 1 and %d.", capital, most))
	}
	return n, nil
}

// activeTokens answers with the ids of the tokens of one stream's open feeds.
func (s *Simulator) activeTokens(r *http.Request) (any, error) {
	account, name, ok := controller.StreamID(r.URL.Query().Get("streamId")).Split()
	if !ok {
		return nil, invalid("streamId", "The StreamId field is required.")
	}
	if account != s.set.Account {
		name = ""
	}
	return s.tokenIDs(func(st *stream) bool { return st.name == name }), nil
}

func (s *Simulator) allActiveTokens(*http.Request) (any, error) {
	return s.tokenIDs(func(*stream) bool { return true }), nil
}

func (s *Simulator) tokenIDs(wanted func(*stream) bool) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	ids := []int{}
	for _, t := range s.tokens.list {
		if slices.ContainsFunc(s.tokenFeeds(t.ID), func(f *feed) bool { return wanted(f.stream) }) {
			ids = append(ids, t.ID)
		}
	}
	return map[string]any{"tokenIds": ids}
}

// reprioritize changes a token's priority and disconnects its publishers, who are to come back with
// the new one (source: the vendor's documentation, "High Availability Management").
func (s *Simulator) reprioritize(r *http.Request) (any, error) {
	var asked struct {
		TokenID        *int
		UpdatePriority *int
	}
	if err := readJSON(r, &asked); err != nil {
		return nil, err
	}
	if asked.TokenID == nil || asked.UpdatePriority == nil {
		return nil, invalid("tokenId", "The fields TokenId and UpdatePriority are required.")
	}
	s.mu.Lock()
	t := s.tokens.find(*asked.TokenID)
	if t == nil {
		s.mu.Unlock()
		return nil, noToken(strconv.Itoa(*asked.TokenID))
	}
	t.Priority = asked.UpdatePriority
	ended := s.cut(t.ID, errDropped)
	s.mu.Unlock()
	hangUp(ended, errDropped)
	level := "Token"
	if len(ended) == 0 {
		level = "None"
	}
	return map[string]string{"stoppingLevel": level}, nil
}
