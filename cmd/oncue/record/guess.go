package record

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// Guess is what was made of a recording. It holds no secret.
type Guess struct {
	Settings string   // YAML: an encoder of the http driver
	Fixtures []byte   // JSON: the exchanges, for tests
	Notes    []string // what was guessed, and why
	Missing  []string // what was not found: start, stop, status
}

// Make guesses the settings of an encoder of that name.
func Make(all []Exchange, name string) (*Guess, error) {
	s := &session{
		name: name, start: -1, stop: -1, login: -1,
		secrets: map[string]string{}, captures: map[string]string{}, applied: map[string]string{},
	}
	s.keepBox(all)
	if len(s.all) == 0 {
		return nil, errors.New("nothing but pages, pictures and scripts was recorded: press start and stop while recording")
	}
	s.findLogin()
	s.findSecrets()
	s.findActions()
	s.findStatus()
	return s.guess()
}

// session is a recording that is being looked at.
type session struct {
	name               string
	all                []Exchange // with the box alone
	base               string     // its address
	login, start, stop int        // in all; -1: not found
	status             []int      // requests for the state; all alike
	live, stopped      string     // rules
	starting, stopping string
	whyStart, whyStop  string

	auth, authName     string
	username, password string
	secrets            map[string]string // names of placeholders, by the values that they stand for
	captures           map[string]string // expressions over the answer of the login, by name
	applied            map[string]string // headers that the login adds
	notes              []string
}

func (s *session) note(format string, args ...any) {
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
}

// What browsers load beside the API of a box: pages and their parts.
var (
	pageType = regexp.MustCompile(`(?i)^(text/(html|css)|(image|font|video|audio)/|[a-z]+/(x-)?javascript)`)
	pageFile = regexp.MustCompile(`(?i)\.(html?|css|m?js|map|png|jpe?g|gif|svg|ico|woff2?|ttf|wasm)$`)
)

// keepBox keeps the requests to the host that most of them went to.
func (s *session) keepBox(all []Exchange) {
	count := map[string]int{}
	for _, x := range all {
		if x.Method == http.MethodOptions || pageFile.MatchString(x.URL.Path) || x.isPage() {
			continue
		}
		base := x.base()
		if count[base]++; count[base] > count[s.base] {
			s.base = base
		}
		s.all = append(s.all, x)
	}
	s.all = slices.DeleteFunc(s.all, func(x Exchange) bool { return x.base() != s.base })
}

// isPage goes by the answer. Boxes often call JSON text/html.
func (x Exchange) isPage() bool {
	if x.Method != http.MethodGet || x.Answer == nil || !pageType.MatchString(x.Answer.Type) {
		return false
	}
	html := strings.Contains(strings.ToLower(x.Answer.Type), "html")
	return !html || strings.HasPrefix(strings.TrimSpace(x.Answer.Body), "<")
}

func (x Exchange) base() string {
	if x.socket != "" {
		return "unix://" + x.socket
	}
	return x.URL.Scheme + "://" + x.URL.Host
}

var (
	userKey     = regexp.MustCompile(`(?i)^(user|username|user_?name|login|email|account|name)$`)
	passwordKey = regexp.MustCompile(`(?i)pass|pwd`)
)

// findLogin looks for a request that sends a password in its body, with others after it.
func (s *session) findLogin() {
	for i, x := range s.all {
		if x.Method == http.MethodGet || i == len(s.all)-1 {
			continue
		}
		for _, leaf := range x.parsed().leaves() {
			switch key := leaf.key(); {
			case passwordKey.MatchString(key) && leaf.text != "":
				s.login, s.password = i, leaf.text
			case userKey.MatchString(key):
				s.username = leaf.text
			}
		}
		if s.login >= 0 {
			s.auth = "login"
			s.note("%s is the login, because it sends a password", s.nth(i))
			if regexp.MustCompile(`^[0-9a-fA-F]{32}$|^[0-9a-fA-F]{64}$`).MatchString(s.password) {
				s.note("the password was sent as a hash: write {password|md5hex}, {password|sha256hex} … in login")
			}
			return
		}
		s.username = ""
	}
}

// nth names a request for people.
func (s *session) nth(i int) string {
	return fmt.Sprintf("request %d (%s %s)", i+1, s.all[i].Method, s.all[i].file())
}

// words are the words of a request, in lower case: startStream and start_stream are two each.
func (x Exchange) words() []string {
	query, _ := url.QueryUnescape(x.URL.RawQuery)
	var b strings.Builder
	last := ' '
	for _, r := range x.URL.Path + " " + query + " " + x.Body {
		if !unicode.IsLetter(r) {
			r = ' '
		} else if unicode.IsUpper(r) && unicode.IsLower(last) {
			b.WriteByte(' ')
		}
		b.WriteRune(unicode.ToLower(r))
		last = r
	}
	return strings.Fields(b.String())
}

var (
	startWords = strings.Fields("start begin play on enable run publish activate resume up golive")
	stopWords  = strings.Fields("stop end off disable halt deactivate pause down kill abort")
	askWords   = strings.Fields("status state stats info health get list read query")
	actWords   = strings.Fields("set command cmd control action switch power")
	truths     = strings.Fields("true on yes start enable enabled play playing 1")
	falsehoods = strings.Fields("false off no stop disable disabled null 0")
)

func hits(words, of []string) []string {
	return slices.DeleteFunc(slices.Clone(of), func(w string) bool { return !slices.Contains(words, w) })
}

// findActions looks for start and stop: by their words, else for two requests that differ in one
// value.
func (s *session) findActions() {
	var acts []int
	best := map[bool]int{}
	for i, x := range s.all {
		words := x.words()
		up, down := hits(words, startWords), hits(words, stopWords)
		asks := x.Method == http.MethodGet && len(hits(words, askWords)) > 0 && len(hits(words, actWords)) == 0
		if i == s.login || asks {
			continue
		}
		if x.Method != http.MethodGet || len(up)+len(down)+len(hits(words, actWords)) > 0 {
			acts = append(acts, i)
		}
		switch score := len(up) - len(down); {
		case score > best[true]:
			s.start, best[true], s.whyStart = i, score, fmt.Sprintf("by the word %q", up[0])
		case -score > best[false]:
			s.stop, best[false], s.whyStop = i, -score, fmt.Sprintf("by the word %q", down[0])
		}
	}
	if s.start >= 0 && s.stop >= 0 {
		return
	}
	for n, i := range acts {
		for _, j := range acts[n+1:] {
			a, b, one := s.all[i].difference(s.all[j])
			known := s.start < 0 && s.stop < 0 || s.start == i || s.start == j || s.stop == i || s.stop == j
			if !one || !known {
				continue
			}
			why := fmt.Sprintf("because it differs from the other in one value alone (%s, %s)", a, b)
			s.start, s.stop, s.whyStart, s.whyStop = i, j, why, why
			says := func(text string, of []string) bool { return slices.Contains(of, strings.ToLower(text)) }
			switch {
			case says(b, truths) || says(a, falsehoods):
				s.start, s.stop = j, i
			case !says(a, truths) && !says(b, falsehoods):
				s.whyStart += " and came first"
			}
			return
		}
	}
}

// difference compares two requests to one path. one is set when they differ in one value.
func (x Exchange) difference(y Exchange) (a, b string, one bool) {
	if x.Method != y.Method || x.URL.Path != y.URL.Path {
		return "", "", false
	}
	mine, other := append(x.query(), x.parsed().leaves()...), append(y.query(), y.parsed().leaves()...)
	if len(mine) != len(other) {
		return "", "", false
	}
	n := 0
	for i := range mine {
		if mine[i].path() != other[i].path() {
			return "", "", false
		}
		if mine[i].text != other[i].text {
			a, b = mine[i].text, other[i].text
			n++
		}
	}
	return a, b, n == 1
}

// shape tells requests apart.
func (x Exchange) shape() string { return x.Method + " " + x.URL.RequestURI() + " " + x.Body }

// findStatus looks for the request whose answers tell on from off, else for one that looks like it.
func (s *session) findStatus() {
	groups := map[string][]int{}
	var order []string
	for i, x := range s.all {
		if i == s.login || s.start >= 0 && x.shape() == s.all[s.start].shape() ||
			s.stop >= 0 && x.shape() == s.all[s.stop].shape() {
			continue
		}
		if len(groups[x.shape()]) == 0 {
			order = append(order, x.shape())
		}
		groups[x.shape()] = append(groups[x.shape()], i)
	}
	best := 0
	for _, shape := range order {
		group := groups[shape]
		x := s.all[group[0]]
		score := 3*len(hits(x.words(), askWords)) + min(len(group), 3)
		if x.Method == http.MethodGet {
			score += 2
		}
		told, ok := s.tellApart(group)
		if ok {
			score += 100 + told.weight
		}
		if score > best && (ok || len(hits(x.words(), askWords)) > 0) {
			best, s.status = score, group
			s.live, s.stopped, s.starting, s.stopping = told.live, told.stopped, told.starting, told.stopping
		}
	}
	switch {
	case len(s.status) == 0:
	case s.live == "":
		s.live, s.stopped = `body?.state == "on"`, `body?.state == "off"`
		s.note("the answers do not tell on from off: live and stopped are made up; correct them by what "+
			"oncue try %s status --verbose shows", s.name)
	default:
		s.note("live and stopped are by what changed in the answers to %s", s.nth(s.status[0]))
	}
}

// rules are conditions that tell states apart, with how likely they are.
type rules struct {
	live, stopped, starting, stopping string
	weight                            int
}

var telling = regexp.MustCompile(`(?i)state|status|running|active|streaming|live|enable|publish|on$|power|output|exec`)

// tellApart looks for a value that is one thing after the start and another before it and after the
// stop.
func (s *session) tellApart(group []int) (best rules, ok bool) {
	if s.start < 0 || s.stop < 0 {
		return best, false
	}
	var answers [][]leaf
	var after []int // start, stop or -1: what came last before the answer
	for _, i := range group {
		a := s.all[i].Answer
		if a == nil || a.Status/100 != 2 {
			continue
		}
		last := -1
		for j := range i {
			if j == s.start || s.all[j].shape() == s.all[s.start].shape() {
				last = s.start
			} else if s.all[j].shape() == s.all[s.stop].shape() {
				last = s.stop
			}
		}
		answers, after = append(answers, parse(a.Body, a.Type).answerLeaves()), append(after, last)
	}
	for n := range answers {
		for _, candidate := range answers[n] {
			r, fits := told(candidate, answers, after, s.start, s.stop)
			if fits && (!ok || r.weight > best.weight) {
				best, ok = r, true
			}
		}
	}
	return best, ok
}

// told makes the rules for one value of the answers.
func told(of leaf, answers [][]leaf, after []int, start, stop int) (r rules, fits bool) {
	var values []leaf
	for _, answer := range answers {
		i := slices.IndexFunc(answer, func(l leaf) bool { return l.path() == of.path() })
		if i < 0 {
			return r, false
		}
		values = append(values, answer[i])
	}
	var on, off *leaf
	var rising, falling []leaf
	for i := range values {
		final := i == len(values)-1 || after[i+1] != after[i]
		switch v := &values[i]; {
		case !final && after[i] == start:
			rising = append(rising, *v)
		case !final && after[i] == stop:
			falling = append(falling, *v)
		case !final:
		case after[i] == start:
			if on != nil && on.text != v.text {
				return r, false
			}
			on = v
		default:
			if off != nil && off.text != v.text {
				return r, false
			}
			off = v
		}
	}
	if on == nil || off == nil || on.text == off.text {
		return r, false
	}
	r.live, r.stopped = on.rule(), off.rule()
	between := func(l leaf) bool { return l.text != on.text && l.text != off.text }
	if i := slices.IndexFunc(rising, between); i >= 0 {
		r.starting = rising[i].rule()
	}
	if i := slices.IndexFunc(falling, between); i >= 0 {
		r.stopping = falling[i].rule()
	}
	if telling.MatchString(of.key()) {
		r.weight += 20
	}
	if !on.number || len(on.text) == 1 {
		r.weight += 10 // no counter
	}
	r.weight -= len(of.keys)
	return r, true
}

func (x Exchange) parsed() body { return parse(x.Body, x.Headers.Get("Content-Type")) }

// query is the query as values.
func (x Exchange) query() []leaf {
	b := parse(x.URL.RawQuery, "application/x-www-form-urlencoded")
	return b.leaves()
}

// file is the path of a request, as it is written in the settings.
func (x Exchange) file() string { return cmp.Or(x.URL.Path, "/") }
