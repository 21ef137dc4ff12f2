package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"sync"

	"github.com/antchfx/xpath"
	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"
)

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

// rule is a compiled expression; its zero value is "not set". Any goroutine may use it.
type rule struct {
	source  string
	program *vm.Program
}

func (r rule) set() bool { return r.program != nil }

// compiled holds the rules by ruleKey. Thousands of devices share the rules of one preset, a rule
// takes a tenth of a millisecond to compile, and the loader compiles each device several times.
var compiled sync.Map

// ruleKey is all that a compiled rule depends on.
type ruleKey struct {
	source string
	value  bool
}

// compileRule compiles a condition (or, with value, an expression of any type).
func compileRule(source string, value bool) (rule, error) {
	if source == "" {
		return rule{}, nil
	}
	if r, ok := compiled.Load(ruleKey{source, value}); ok {
		return r.(rule), nil
	}
	paths := &pathChecker{}
	options := []expr.Option{
		expr.Env(facts{}), expr.Patch(paths),
		expr.Function("bit", ruleBit, new(func(any, int) bool)),
		expr.Function("num", func(p ...any) (any, error) { return number(p[0]), nil }, new(func(any) any)),
		expr.Function("str", func(p ...any) (any, error) { return ruleText(p[0]), nil }, new(func(any) string)),
		expr.Function("truthy", func(p ...any) (any, error) { return truthy(p[0]), nil }, new(func(any) bool)),
	}
	if !value {
		options = append(options, expr.AsBool())
	}
	program, err := expr.Compile(source, options...)
	if err == nil {
		err = paths.err
	}
	if err != nil {
		return rule{}, errors.New(ruleError(err))
	}
	r := rule{source, program}
	compiled.Store(ruleKey{source, value}, r)
	return r, nil
}

// ruleError makes one line of expr's errors, which draw a picture.
func ruleError(err error) string {
	var fe *file.Error
	if errors.As(err, &fe) {
		return fmt.Sprintf("%s (at character %d)", fe.Message, fe.Column+1)
	}
	text, _, _ := strings.Cut(err.Error(), "\n")
	return text
}

// pathChecker rejects invalid XPaths when the rule is compiled.
type pathChecker struct{ err error }

func (c *pathChecker) Visit(node *ast.Node) {
	call, ok := (*node).(*ast.CallNode)
	if !ok || len(call.Arguments) != 1 {
		return
	}
	name, isName := call.Callee.(*ast.IdentifierNode)
	text, isText := call.Arguments[0].(*ast.StringNode)
	if !isName || !isText || name.Value != "xpath" {
		return
	}
	if _, err := xpath.Compile(text.Value); err != nil {
		c.err = fmt.Errorf("xpath(%q): %w", text.Value, err)
	}
}

// holds evaluates a condition. A missing value does not hold.
func (r rule) holds(f facts) (bool, error) {
	v, err := expr.Run(r.program, f)
	if err != nil {
		return false, errors.New(ruleError(err))
	}
	switch v := v.(type) {
	case bool:
		return v, nil
	case nil:
		return false, nil
	}
	return false, fmt.Errorf("is %T, must be true or false", v)
}

// text evaluates an expression as text; "" when that fails.
func (r rule) text(f facts) string {
	if !r.set() {
		return ""
	}
	v, err := expr.Run(r.program, f)
	if err != nil || v == nil {
		return ""
	}
	return ruleText(v)
}

// number evaluates an expression as a number; nil when that fails.
func (r rule) number(f facts) *float64 {
	if !r.set() {
		return nil
	}
	v, err := expr.Run(r.program, f)
	if err != nil {
		return nil
	}
	n, ok := number(v).(float64)
	if !ok || math.IsNaN(n) || math.IsInf(n, 0) {
		return nil
	}
	return &n
}

// number is v as a float64, also from text; nil when it is no number.
func number(v any) any {
	switch v := v.(type) {
	case nil:
		return nil
	case bool:
		if v {
			return 1.0
		}
		return 0.0
	case json.Number:
		if n, err := v.Float64(); err == nil {
			return n
		}
		return nil
	case string:
		text := strings.TrimSpace(v)
		if n, err := strconv.ParseFloat(text, 64); err == nil {
			return n
		}
		if n, err := strconv.ParseInt(text, 0, 64); err == nil {
			return float64(n)
		}
		return nil
	}
	r := reflect.ValueOf(v)
	switch {
	case r.CanInt():
		return float64(r.Int())
	case r.CanUint():
		return float64(r.Uint())
	case r.CanFloat():
		return r.Float()
	}
	return nil
}

func ruleText(v any) string {
	if v == nil {
		return ""
	}
	if s, ok := scalar(v); ok {
		return s
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}

// ruleBit tests v against a mask: all bits of the mask must be set. Text counts, in decimal or 0x
// hex.
func ruleBit(p ...any) (any, error) {
	n, ok := number(p[0]).(float64)
	if !ok || n < 0 || n >= 1<<63 {
		return false, nil
	}
	m := p[1].(int)
	return m != 0 && int64(n)&int64(m) == int64(m), nil
}

// truthy knows the ways in which boxes write "yes".
func truthy(v any) bool {
	if n, ok := number(v).(float64); ok {
		return n != 0
	}
	switch strings.ToLower(strings.TrimSpace(ruleText(v))) {
	case "true", "on", "yes", "enabled", "enable", "active", "ok":
		return true
	}
	return false
}
