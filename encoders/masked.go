package encoders

import (
	"context"

	"github.com/oncue/oncue/configs/secret"
)

// Masked wraps e so that no text it gives to people shows a secret: one that mask knows, the job's,
// or what looks like one. A driver also masks what it knows itself; this covers every key of every
// driver. [Driver] unwraps it.
func Masked(e Encoder, mask *secret.Masker) Encoder {
	m := &masked{e, mask}
	if w, ok := e.(Watcher); ok {
		return &maskedWatcher{m, w}
	}
	return m
}

// Driver returns the encoder inside what Masked returned, or e itself. Ask it which optional
// interfaces a driver implements: the wrapper implements all but Watcher, and does nothing where
// the inner encoder cannot.
func Driver(e Encoder) Encoder {
	if m, ok := e.(interface{ driver() Encoder }); ok {
		return m.driver()
	}
	return e
}

type masked struct {
	inner Encoder
	mask  *secret.Masker
}

func (m *masked) driver() Encoder { return m.inner }

// know adds the job's secret.
func (m *masked) know(job Job) {
	if !job.Publish.Set() {
		return
	}
	m.mask.Spare(job.Name, job.Account)
	m.mask.Know(job.Publish.Reveal())
}

func (m *masked) Start(ctx context.Context, job Job) error {
	m.know(job)
	return m.mask.Error(m.inner.Start(ctx, job))
}

func (m *masked) Stop(ctx context.Context, job Job) error {
	m.know(job)
	return m.mask.Error(m.inner.Stop(ctx, job))
}

func (m *masked) Status(ctx context.Context, job Job) (Status, error) {
	m.know(job)
	s, err := m.inner.Status(ctx, job)
	m.status(&s)
	return s, m.mask.Error(err)
}

func (m *masked) status(s *Status) {
	s.Error, s.Warning = m.mask.Mask(s.Error), m.mask.Mask(s.Warning)
	if s.Standby != nil {
		clean := *s.Standby
		clean.Error = m.mask.Mask(clean.Error)
		s.Standby = &clean
	}
}

// KeepReady implements [Readier].
func (m *masked) KeepReady(job Job, on bool) {
	m.know(job)
	if r, ok := m.inner.(Readier); ok {
		r.KeepReady(job, on)
	}
}

// Close implements [Closer].
func (m *masked) Close() error {
	if c, ok := m.inner.(Closer); ok {
		return m.mask.Error(c.Close())
	}
	return nil
}

// Log implements [Logger]. It returns no lines for an encoder that keeps no output.
func (m *masked) Log(ctx context.Context, n int) ([]string, error) {
	l, ok := m.inner.(Logger)
	if !ok {
		return []string{}, nil
	}
	lines, err := l.Log(ctx, n)
	return m.texts(lines), m.mask.Error(err)
}

// Check implements [Checker].
func (m *masked) Check(ctx context.Context, job Job) []Finding {
	m.know(job)
	if c, ok := m.inner.(Checker); ok {
		return m.findings(c.Check(ctx, job))
	}
	return []Finding{{Level: OK, What: "there is nothing to check"}}
}

// Probe implements [Prober].
func (m *masked) Probe(ctx context.Context, job Job) []Finding {
	m.know(job)
	if p, ok := m.inner.(Prober); ok {
		return m.findings(p.Probe(ctx, job))
	}
	return nil
}

// Plan implements [Planner].
func (m *masked) Plan(job Job) []string {
	m.know(job)
	if p, ok := m.inner.(Planner); ok {
		return m.texts(p.Plan(job))
	}
	return nil
}

func (m *masked) texts(list []string) []string {
	for i := range list {
		list[i] = m.mask.Mask(list[i])
	}
	return list
}

func (m *masked) findings(list []Finding) []Finding {
	for i := range list {
		list[i].What, list[i].Hint = m.mask.Mask(list[i].What), m.mask.Mask(list[i].Hint)
	}
	return list
}

type maskedWatcher struct {
	*masked
	watcher Watcher
}

// Watch implements [Watcher].
func (m *maskedWatcher) Watch(ctx context.Context, job Job, report func(Status)) error {
	m.know(job)
	return m.mask.Error(m.watcher.Watch(ctx, job, func(s Status) {
		m.status(&s)
		report(s)
	}))
}
