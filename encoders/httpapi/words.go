package httpapi

import (
	"fmt"

	"github.com/antchfx/xpath"
	"github.com/expr-lang/expr/ast"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/boxes"
)

// values is what placeholders stand for, in one call of the driver.
type values struct {
	*boxes.Values
	plan *plan
}

// facts is what conditions and rules see.
type facts struct {
	Status    int                       `expr:"status"`
	Headers   map[string]string         `expr:"headers"`
	Body      any                       `expr:"body"`
	Text      string                    `expr:"text"`
	LatencyMS int                       `expr:"latency_ms"`
	Vars      map[string]any            `expr:"vars"`
	Stream    string                    `expr:"stream"`
	Account   string                    `expr:"account"`
	Scheme    string                    `expr:"publish_scheme"`
	XPath     func(string) (any, error) `expr:"xpath"`
}

var language = &boxes.Language{Facts: facts{}, Check: checkXPath}

// checkXPath rejects invalid XPaths when a rule is compiled.
func checkXPath(node ast.Node) error {
	call, ok := node.(*ast.CallNode)
	if !ok || len(call.Arguments) != 1 {
		return nil
	}
	name, isName := call.Callee.(*ast.IdentifierNode)
	text, isText := call.Arguments[0].(*ast.StringNode)
	if !isName || !isText || name.Value != "xpath" {
		return nil
	}
	if _, err := xpath.Compile(text.Value); err != nil {
		return fmt.Errorf("xpath(%q): %w", text.Value, err)
	}
	return nil
}

// newMasker knows the secrets of the settings, those that the loader found, and those of the
// publishing URL.
func newMasker(p *plan, known []secret.Value, job encoders.Job) *secret.Masker {
	s := &p.settings
	m := boxes.NewMasker(p.words, known, job)
	m.Know(s.AuthValue.Reveal())
	m.Know(s.AWS.SessionToken.Reveal())
	if s.Password.Set() {
		m.Know(s.Username + ":" + s.Password.Reveal()) // what basic encodes
	}
	requests := []Request{s.Login.Request, s.Status.Request}
	for _, step := range append(s.Start[:len(s.Start):len(s.Start)], s.Stop...) {
		requests = append(requests, step.Request)
	}
	for _, r := range requests {
		m.Learn(r.Path)
		m.Learn(r.XML)
		m.Learn(r.Body)
		for _, values := range []any{r.Query, anyValues(r.Headers), r.Form, r.JSON} {
			boxes.Learn(m, "", values)
		}
	}
	return m
}
