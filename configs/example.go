package configs

import _ "embed"

// Example is a configuration that shows every key with its default and what it is for.
//
//go:embed example.yaml
var Example []byte
