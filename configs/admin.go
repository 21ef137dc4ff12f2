package configs

import (
	"fmt"
	"io"
	"os"
	"reflect"
)

// ReadAdmin reads only the settings of the admin side, for commands that look for the daemon: the
// rest of the file may be wrong, or need an environment that this process does not have. A token
// whose reference cannot be resolved stays empty.
func ReadAdmin(path string) (Admin, error) {
	f, err := os.Open(path)
	if err != nil {
		return Admin{}, fmt.Errorf("read the configuration: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return Admin{}, fmt.Errorf("read the configuration: %w", err)
	}
	root, err := parseYAML(data)
	if err != nil {
		return Admin{}, fmt.Errorf("read %s: %w", path, err)
	}
	admin := Default().Admin
	if root == nil {
		return admin, nil
	}
	d := newDecoder(path, Options{}, 0)
	fields, _ := d.fields(root, "", "")
	for _, f := range fields {
		if f.name == "admin" {
			d.structure(f.value, reflect.ValueOf(&admin).Elem(), "admin", rule{})
		}
	}
	if d.bad["admin"] || d.bad["admin.listen"] {
		return Admin{}, fmt.Errorf("read %s: admin.listen is wrong; oncue check says why", path)
	}
	return admin, nil
}
