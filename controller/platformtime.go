package controller

import "time"

// PlatformTime is a time by the platform's clock, which may differ from this host's by any amount.
// It is a type of its own so that the two cannot be compared: hooks are ordered by it, and
// time-outs never count from it. Its zero value is no time.
type PlatformTime struct{ t time.Time }

// ByPlatform takes a time that the platform has told.
func ByPlatform(t time.Time) PlatformTime { return PlatformTime{t} }

// Time is the time as the platform told it, for people and messages.
func (p PlatformTime) Time() time.Time { return p.t }

func (p PlatformTime) IsZero() bool                     { return p.t.IsZero() }
func (p PlatformTime) Before(other PlatformTime) bool   { return p.t.Before(other.t) }
func (p PlatformTime) After(other PlatformTime) bool    { return p.t.After(other.t) }
func (p PlatformTime) Equal(other PlatformTime) bool    { return p.t.Equal(other.t) }
func (p PlatformTime) Add(d time.Duration) PlatformTime { return PlatformTime{p.t.Add(d)} }
func (p PlatformTime) MarshalJSON() ([]byte, error)     { return p.t.MarshalJSON() }
func (p *PlatformTime) UnmarshalJSON(text []byte) error { return p.t.UnmarshalJSON(text) }
