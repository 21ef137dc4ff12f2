package boxes

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"sync"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"
)

// Rule is a compiled expression over the facts of a driver; its zero value is "not set". Any
// goroutine may use it.
type Rule struct {
	Source  string
	program *vm.Program
}

// Set reports whether there is a rule.
func (r Rule) Set() bool { return r.program != nil }

// Language is what the rules of a driver may say, beside expr's own functions and operators. Its
// facts stay the same type.
type Language struct {
	Facts any                  // a struct with expr tags
	Check func(ast.Node) error // of each part of a rule; nil: all that expr knows

	// compiled holds the rules by ruleKey. Thousands of devices share the rules of one preset, a
	// rule takes a tenth of a millisecond to compile, and the loader compiles each device several
	// times.
	compiled sync.Map
}

// ruleKey is all that a compiled rule depends on.
type ruleKey struct {
	source string
	value  bool
}

// Condition compiles a condition of a key.
func (c *Compiler) Condition(l *Language, key, source string) Rule {
	return c.rule(l, key, source, false)
}

// Expression compiles an expression of any type.
func (c *Compiler) Expression(l *Language, key, source string) Rule {
	return c.rule(l, key, source, true)
}

func (c *Compiler) rule(l *Language, key, source string, value bool) Rule {
	r, err := l.compile(source, value)
	if err != nil {
		c.Fail(key, "%s", err)
	}
	return r
}

func (l *Language) compile(source string, value bool) (Rule, error) {
	if source == "" {
		return Rule{}, nil
	}
	if r, ok := l.compiled.Load(ruleKey{source, value}); ok {
		return r.(Rule), nil
	}
	checked := &checker{check: l.Check}
	options := []expr.Option{
		expr.Env(l.Facts), expr.Patch(checked),
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
		err = checked.err
	}
	if err != nil {
		return Rule{}, errors.New(ruleError(err))
	}
	r := Rule{source, program}
	l.compiled.Store(ruleKey{source, value}, r)
	return r, nil
}

// checker asks the driver about each part of a rule.
type checker struct {
	check func(ast.Node) error
	err   error
}

func (c *checker) Visit(node *ast.Node) {
	if c.check != nil && c.err == nil {
		c.err = c.check(*node)
	}
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

// Holds evaluates a condition. A missing value does not hold.
func (r Rule) Holds(facts any) (bool, error) {
	v, err := expr.Run(r.program, facts)
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

// Text evaluates an expression as text; "" when that fails.
func (r Rule) Text(facts any) string {
	if !r.Set() {
		return ""
	}
	v, err := expr.Run(r.program, facts)
	if err != nil || v == nil {
		return ""
	}
	return ruleText(v)
}

// Number evaluates an expression as a number; nil when that fails.
func (r Rule) Number(facts any) *float64 {
	if !r.Set() {
		return nil
	}
	v, err := expr.Run(r.program, facts)
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
	if s, ok := Scalar(v); ok {
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
