package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/oncue/oncue/configs"
	publishing "github.com/oncue/oncue/configs/ingest"
	"github.com/oncue/oncue/configs/words"
	"github.com/oncue/oncue/controller/millicast"
)

// toRegion is an encoder that is told to publish to the platform.
type toRegion struct {
	encoder, region, source string // region "": the nearest
}

// examineRegions compares the regions that the streams of an account are published to with those
// that the platform has.
func (d *doctor) examineRegions(ctx context.Context, a *configs.Account) findings {
	byStream := map[*configs.Stream][]toRegion{}
	matters := false
	for _, s := range d.cfg.Streams {
		if s.Account != a.ID {
			continue
		}
		to := d.toRegions(s)
		byStream[s] = to
		matters = matters || len(to) > 1 || slices.ContainsFunc(to, func(t toRegion) bool { return t.region != "" })
	}
	if !matters {
		return nil
	}
	api, err := platformOf(a)
	if err != nil {
		return bad(err.Error(), "")
	}
	defer api.Close()
	all, err := api.Regions(ctx)
	if err != nil {
		return odd(err.Error(), "")
	}
	var found findings
	named := 0
	for _, s := range d.cfg.Streams {
		for _, to := range byStream[s] {
			if to.region == "" {
				continue
			}
			if slices.ContainsFunc(all, func(r millicast.Region) bool { return r.ID == to.region }) {
				named++
				continue
			}
			found.add(bad(fmt.Sprintf("%s publishes %s to region %s, which account %s does not have",
				to.encoder, s.Name, to.region, a.ID), regionHint(to.region, all)))
		}
		found.add(oneRegion(s, byStream[s], all))
	}
	if named > 0 && len(found) == 0 {
		found.add(good("the account has the regions that are published to"))
	}
	return found
}

// toRegions are the encoders of a stream that are told to publish to the platform by a protocol
// whose host names the region.
func (d *doctor) toRegions(s *configs.Stream) []toRegion {
	var list []toRegion
	for _, encoder := range s.All() {
		if !d.cfg.Told(encoder) {
			continue
		}
		u, err := publishing.Parse(exampleJob(s, encoder).Publish.Reveal())
		if err != nil {
			continue
		}
		if region, ok := u.Region(); ok {
			list = append(list, toRegion{encoder, region, u.Source})
		}
	}
	return list
}

func regionHint(region string, all []millicast.Region) string {
	ids := make([]string, len(all))
	for i, r := range all {
		ids[i] = r.ID
	}
	hint := "it has " + listRegions(all)
	if near, ok := words.Nearest(region, ids); ok {
		hint = near + " is probably meant; " + hint
	}
	return hint
}

func listRegions(list []millicast.Region) string {
	texts := make([]string, len(list))
	for i, r := range list {
		texts[i] = r.String()
	}
	return strings.Join(texts, ", ")
}

// oneRegion reports encoders that stand in for each other and publish to one region. The platform's
// advice for redundant ingest is two regions of the same area.
func oneRegion(s *configs.Stream, to []toRegion, all []millicast.Region) findings {
	if len(to) < 2 || len(all) < 2 {
		return nil
	}
	first := to[0]
	for _, t := range to[1:] {
		if t.region != first.region || t.source != first.source {
			return nil
		}
	}
	where := "region " + first.region
	if first.region == "" {
		where = "the nearest region"
	}
	others := slices.DeleteFunc(slices.Clone(all), func(r millicast.Region) bool { return r.ID == first.region })
	return odd(fmt.Sprintf("all encoders of %s publish to %s: its loss takes them all", s.Name, where),
		fmt.Sprintf("give %s another one of the same area, publish: {region: ...}: %s", to[1].encoder, listRegions(others)))
}
