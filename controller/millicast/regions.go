package millicast

import (
	"context"
	"net/http"
	"slices"
	"strings"
)

// Region is one of the platform's clusters, which streams are published to.
type Region struct {
	ID       string `json:"id"` // in host names, such as fra-1
	Name     string `json:"name"`
	Location struct {
		City    string `json:"city"`
		Country string `json:"country"`
	} `json:"location"`
}

// String is the id with the place, as far as the platform tells one.
func (r Region) String() string {
	place := slices.DeleteFunc([]string{r.Location.City, r.Location.Country}, func(s string) bool { return s == "" })
	if len(place) == 0 && r.Name != "" {
		place = []string{r.Name}
	}
	if len(place) == 0 {
		return r.ID
	}
	return r.ID + " (" + strings.Join(place, ", ") + ")"
}

// Regions returns the regions that the account may publish to. The answer's default is the one of
// tokens without one of their own.
func (c *Client) Regions(ctx context.Context) ([]Region, error) {
	var answer struct {
		Available []Region `json:"availableClusters"`
	}
	err := c.do(ctx, call{what: "list the regions", method: http.MethodGet, path: "/api/cluster"}, &answer)
	return answer.Available, err
}
