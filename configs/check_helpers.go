package configs

import (
	"fmt"
	"slices"
)

// checkHelpers checks what encoders need, and in which order.
func (d *decoder) checkHelpers(c *Config) {
	if a := c.Accounts[reservedAccount]; a != nil && len(c.Helpers) > 0 {
		d.wrong(join("accounts", reservedAccount), "no account may have that name beside helpers: their ids begin so")
	}
	var helpers []string
	for _, h := range c.Helpers {
		helpers = append(helpers, h.Name)
	}
	after := map[string][]string{} // by helper: those that an encoder starts after it
	needed := map[string]bool{}
	for _, e := range c.Encoders {
		if most := c.Limits.Cost; most > 0 && e.Cost > most {
			d.wrong(join("encoders", e.Name)+".cost", "is more than limits.cost, %d, so it could never start", most)
		}
		for i, name := range e.Needs {
			path := fmt.Sprintf("%s.needs[%d]", join("encoders", e.Name), i)
			switch other := c.encoders[name]; {
			case slices.Contains(e.Needs[:i], name):
				d.wrong(path, "%q is listed twice", name)
				continue
			case other == nil:
				d.wrong(path, "%q is not a helper%s", name, choices(name, helpers))
				continue
			case !other.Helper:
				d.wrong(path, "%q is an encoder; what an encoder needs stands under helpers", name)
				continue
			}
			needed[name] = true
			for _, before := range e.Needs[:i] {
				if comesAfter(after, name, before) {
					d.wrong(path, "%q comes after %q here, and before it for another encoder; helpers stop in the reverse "+
						"order of their starts, so name them in one order", name, before)
				} else {
					after[before] = append(after[before], name)
				}
			}
		}
	}
	for _, h := range c.Helpers {
		if !needed[h.Name] {
			d.warn(join("helpers", h.Name), "no encoder needs this helper")
		}
	}
}

// reservedAccount begins the ids of helpers.
const reservedAccount = "helpers"

// comesAfter reports whether somebody starts b after a, perhaps with others between them.
func comesAfter(after map[string][]string, a, b string) bool {
	return slices.ContainsFunc(after[a], func(next string) bool { return next == b || comesAfter(after, next, b) })
}
