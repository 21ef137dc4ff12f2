// Package configs holds the whole configuration: its types, their defaults, and the one loader that
// reads them from YAML.
//
// [Load] reads a file and returns either a [Config] in which everything is valid and every stream
// is resolved, or all problems of the file at once, each with its line and column. [Config.Lookup]
// finds the stream for a name, [Config.Plan] tells what would run and which line said so, and
// [Diff] says in words what a reload changes.
//
// Drivers own the types of their settings; the loader fills them by reflection over struct tags,
// which are described at [Options].
//
// The files:
//
//	config.go, stream.go, timing.go, admin.go    the types, with what each key is for in its tags
//	load.go, reference.go                        reading a file; ${NAME} and ${file:PATH}
//	yaml.go, node.go, decode.go                  YAML, its nodes, and how they fill the types
//	publish.go                                   where each encoder of a stream publishes to
//	scalar.go, units.go, shape.go                single values, and what tags say of a key
//	encoder.go, settings.go                      settings of drivers
//	check.go, check_streams.go, check_timing.go,
//	check_helpers.go                             what the types alone cannot refuse
//	problem.go                                   a mistake, with its place
//	plan.go, diff.go, archive.go                 a configuration in words: what runs, what changes
//	schema.go, example.go                        what editors and readers get
package configs
