package relay

import "time"

// group is what is kept of an input: everything since its last key frame.
type group struct {
	frames []frame
	bytes  int64
}

// add takes a frame. A key frame begins the group anew; without one there is no group.
func (g *group) add(c *container, f frame) {
	if f.key && c.pictured(f) {
		clear(g.frames) // lets go of their data
		g.frames, g.bytes = g.frames[:0], 0
	} else if len(g.frames) == 0 {
		return
	}
	g.frames, g.bytes = append(g.frames, f), g.bytes+int64(len(f.data))
}

func (g *group) drop() { *g = group{} }

// span returns the times, in seconds of the input, of the first frame and of the latest.
func (g *group) span(c *container) (from, to float64) {
	for i, f := range g.frames {
		t := c.streams[f.stream].seconds(f.pts)
		if i == 0 {
			from, to = t, t
		}
		to = max(to, t)
	}
	return from, to
}

// squeezed is how far apart the pictures kept are for a publisher.
const squeezed = time.Millisecond

// squeeze returns the pictures of the group with their times squeezed, beginning at zero, and by
// how much the times of later frames of each stream are to be shifted so that they follow on.
func (g *group) squeeze(c *container) (pictures []frame, shift []int64) {
	from, to := g.span(c)
	for _, f := range g.frames {
		if c.pictured(f) && c.streams[f.stream].seconds(f.pts) >= from { // before, it needs an earlier group
			pictures = append(pictures, f)
		}
	}
	rate := 1.0
	if length := float64(len(pictures)) * squeezed.Seconds(); length < to-from {
		rate = length / (to - from)
	}
	for i := range pictures {
		f := &pictures[i]
		s := c.streams[f.stream]
		f.pts = s.units((s.seconds(f.pts) - from) * rate)
	}
	for _, s := range c.streams {
		shift = append(shift, s.units((to-from)*rate)-s.units(to))
	}
	return pictures, shift
}
