package configs

import (
	"fmt"

	"go.yaml.in/yaml/v3"
)

// follow returns what an alias stands for; ok is false when it is too deep or too large. The caller
// must call leave with n when it is done with the value.
func (d *decoder) follow(n *yaml.Node, path string) (target *yaml.Node, ok bool) {
	d.depth++
	isAlias := n.Kind == yaml.AliasNode
	if isAlias {
		d.aliases++
	}
	if d.depth > maxDepth {
		d.fail(n, path, "is nested more than %d deep; does an anchor contain itself?", maxDepth)
		return n, false
	}
	if d.aliases > 0 {
		if d.copied++; d.copied > maxCopies {
			if d.copied == maxCopies+1 {
				d.fail(n, path, "aliases stand for more than %d values; write them out, or use a pattern", maxCopies)
			}
			return n, false
		}
	}
	if isAlias {
		return n.Alias, true
	}
	return n, true
}

func (d *decoder) leave(n *yaml.Node) {
	d.depth--
	if n.Kind == yaml.AliasNode {
		d.aliases--
	}
}

// A field is one key of a mapping.
type field struct {
	name       string
	key, value *yaml.Node
}

// fields lists a mapping in file order, its own keys before those that << merges in. ok is false
// when n is no mapping.
func (d *decoder) fields(n *yaml.Node, path, hint string) (list []field, ok bool) {
	defer d.leave(n)
	n, ok = d.follow(n, path)
	if !ok {
		return nil, false
	}
	if isNull(n) {
		return nil, true
	}
	if n.Kind != yaml.MappingNode {
		if m := noSpace.FindStringSubmatch(n.Value); m != nil && n.Style == 0 {
			hint = fmt.Sprintf("; is a space missing after %q?", m[1])
		}
		d.fail(n, path, "must be a mapping of keys, not %s%s", kindOf(n), hint)
		return nil, false
	}
	seen := make(map[string]int, len(n.Content)/2)
	list, merges := d.pairs(n, path, seen)
	for _, m := range merges {
		for _, f := range d.merged(m, path) {
			if _, set := seen[f.name]; !set {
				seen[f.name] = f.key.Line
				list = append(list, f)
			}
		}
	}
	return list, true
}

// pairs lists a mapping's own keys that are not in seen, and the values of its <<.
func (d *decoder) pairs(n *yaml.Node, path string, seen map[string]int) (list []field, merges []*yaml.Node) {
	list = make([]field, 0, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		if key.Kind != yaml.ScalarNode || isNull(key) {
			d.fail(key, path, "a key must be a word, not %s", kindOf(key))
			continue
		}
		if line, twice := seen[key.Value]; twice {
			d.fail(key, join(path, key.Value), "is already set on line %d; remove one of them", line)
			continue
		}
		seen[key.Value] = key.Line
		if key.ShortTag() == "!!merge" {
			merges = append(merges, value)
			continue
		}
		list = append(list, field{key.Value, key, value})
	}
	return list, merges
}

// merged lists what << merges in: a mapping, or several, of which the earlier win.
func (d *decoder) merged(n *yaml.Node, path string) []field {
	sources := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		sources = n.Content
	}
	var list []field
	for _, s := range sources {
		fields, _ := d.fields(s, join(path, "<<"), "; << takes an alias such as *NAME, or a list of them")
		list = append(list, fields...)
	}
	return list
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	switch n.ShortTag() {
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return n.Value
	case "!!null":
		return "nothing"
	}
	return "text"
}
