package simulator

import "net/http"

// region is one of the platform's clusters.
type region struct{ id, city, area, country string }

// regions are what the API lists; the first is the account's default.
var regions = []region{
	{"ams-1", "Amsterdam", "North Holland", "Netherlands"},
	{"fra-1", "Frankfurt", "Hesse", "Germany"},
	{"lon-1", "London", "England", "United Kingdom"},
	{"iad-1", "Ashburn", "Virginia", "United States of America"},
	{"phx-1", "Phoenix", "Arizona", "United States of America"},
}

func (s *Simulator) listRegions(*http.Request) (any, error) {
	list := make([]map[string]any, 0, len(regions))
	for _, r := range regions {
		list = append(list, map[string]any{
			"id": r.id, "name": r.city,
			"rtmp": "rtmp-" + r.id + ".millicast.com", "srt": "srt-" + r.id + ".millicast.com",
			"location": map[string]string{"city": r.city, "region": r.area, "country": r.country},
			"features": map[string]bool{"transcoding": false},
		})
	}
	return map[string]any{"defaultCluster": regions[0].id, "availableClusters": list}, nil
}
