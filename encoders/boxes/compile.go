package boxes

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Compiler reads words, templates and rules from a driver's settings, and collects everything that
// is wrong with them.
type Compiler struct {
	Words *Words
	Used  map[string]bool // names of placeholders
	Errs  []error

	names []string // of placeholders that may be used
}

// NewCompiler compiles the vars of w. more names placeholders whose values the box gives.
func NewCompiler(w Words, more ...string) *Compiler {
	w.texts = map[string]Template{}
	c := &Compiler{Words: &w, Used: map[string]bool{}, names: append([]string(nil), fixedNames...)}
	c.Allow(more...)
	c.Allow(slices.Sorted(maps.Keys(w.Vars))...)
	c.Allow(slices.Sorted(maps.Keys(w.Secrets))...)
	c.vars()
	return c
}

// Allow makes names of placeholders known.
func (c *Compiler) Allow(names ...string) { c.names = append(c.names, names...) }

// Fail notes what is wrong with a key.
func (c *Compiler) Fail(key, format string, args ...any) {
	c.Errs = append(c.Errs, keyError{key, fmt.Sprintf(format, args...)})
}

func (c *Compiler) vars() {
	w := c.Words
	for _, name := range slices.Sorted(maps.Keys(w.Secrets)) {
		c.VarName("secrets."+name, name)
	}
	for _, name := range slices.Sorted(maps.Keys(w.Vars)) {
		c.VarName("vars."+name, name)
		switch v := w.Vars[name].(type) {
		case nil:
			c.Fail("vars."+name, "must be set")
		case string:
			w.texts[name] = c.Template("vars."+name, v)
		default:
			if _, ok := Scalar(v); !ok {
				c.Fail("vars."+name, "must be text, a number, true or false")
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(w.texts)) {
		if c.cycle(name, nil) {
			c.Fail("vars."+name, "refers to itself")
			w.texts[name] = nil
		}
	}
}

var varName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// VarName says what is wrong with a name of the user's own.
func (c *Compiler) VarName(key, name string) {
	if !varName.MatchString(name) {
		c.Fail(key, "a name here is lower-case letters, digits and _, and begins with a letter")
	}
	if slices.Contains(fixedNames, name) {
		c.Fail(key, "this name has a meaning already; choose another")
	}
}

func (c *Compiler) cycle(name string, path []string) bool {
	if slices.Contains(path, name) {
		return true
	}
	path = append(path, name)
	return slices.ContainsFunc(c.Words.texts[name], func(p Piece) bool { return p.Name != "" && c.cycle(p.Name, path) })
}

// Template compiles a text with placeholders.
func (c *Compiler) Template(key, s string) Template {
	t, err := ParseTemplate(s)
	if err != nil {
		c.Fail(key, "%s", err)
	}
	for _, p := range t {
		if p.Name == "" {
			continue
		}
		c.Used[p.Name] = true
		if p.Name[0] > '9' && !slices.Contains(c.names, p.Name) {
			c.Fail(key, "%s is not known; allowed: {%s}, {1} …", p.Text, strings.Join(c.names, "}, {"))
		}
	}
	return t
}

// NeedsPublish reports whether one of the placeholders stands for the publishing URL or a part of
// it.
func NeedsPublish(used map[string]bool) bool {
	return slices.ContainsFunc(PublishNames, func(name string) bool { return used[name] })
}
