// Package simulator plays the platform: it takes publishers over RTMP, has viewers, sends signed
// webhooks and answers the REST API, all on loopback and as fast as its clock is told to run.
// Tests, benchmarks and the demo use it; the daemon never does.
//
// Call [Start], point an encoder at [Simulator.RTMPURL], let somebody watch with [Simulator.Join],
// and ask [Simulator.Truth] what is really so.
//
// With Settings.InMemory it listens nowhere and can run in a testing/synctest bubble: feeds come
// from [Simulator.OpenFeed], hooks go through Settings.Transport, and the API is
// [Simulator.Handler].
//
// What the vendor documents is done as documented. What is undocumented is a field of [Behaviour],
// so that tests can try both ways. What goes wrong in the world is on demand: [HookFaults] for
// deliveries, [APIFaults] for the REST API, and Refuse, Freeze, Drop and Mute for publishers.
//
// The files:
//
//	simulator.go, settings.go, stream.go         the platform, how it behaves, one stream of it
//	ingest.go, token.go                          who may publish
//	contribution.go, feed.go                     what a URL asks for, and which feed is on the air
//	dump.go, thumbnail.go, recording.go          what becomes of the media
//	viewer.go, truth.go                          viewers, and what is really so
//	webhook.go, hooks.go, deliver.go             hooks on their way
//	api.go, api_streams.go, api_webhooks.go, api_tokens.go, api_regions.go   the REST API
//	api_faults.go                                what goes wrong with it
package simulator
