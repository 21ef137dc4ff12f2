package simulator

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller/millicast"
	"github.com/oncue/oncue/controller/millicast/simulator/rtmp"
)

// Times of the platform, before the clock scale. Documented: attemptSpacing, noViewersDelay,
// thumbnailPeriod, thumbnailMinute, summaryMemory. Read in the vendor's web player, and seen of it:
// attemptFails, firstBackoff, lastBackoff.
const (
	attemptSpacing  = 10 * time.Second       // between ViewerAttempt hooks of one stream
	noViewersDelay  = 60 * time.Second       // from the last viewer's leaving to NoActiveViewers
	attemptFails    = 100 * time.Millisecond // from a player's attempt to the answer that there is nothing
	firstBackoff    = 2 * time.Second
	lastBackoff     = 32 * time.Second
	thumbnailPeriod = 30 * time.Second
	thumbnailMinute = time.Minute
	thumbnailBurst  = 6         // thumbnails on demand in a minute, per stream
	summaryMemory   = time.Hour // how long the API lists a stream that ended
)

// Settings of a simulated platform. The zero value works: a random webhook secret, no webhook,
// ports chosen by the system.
type Settings struct {
	Account   string       // account id; "ABC123" if empty
	Secret    secret.Value // webhook secret of the first webhook, base64; random if not set
	APISecret secret.Value // Bearer token of the REST API; random if not set

	// Token is the first publishing token: for every stream, with thumbnails. If it is not set, see
	// [Token] for what the ingest lets in.
	Token secret.Value

	WebhookURL string // the first webhook, for feed and viewer events; none if empty
	// Thumbnails are sent to the first webhook too, one of every live feed each 30 s.
	Thumbnails bool

	RTMPAddr string // "127.0.0.1:0" if empty
	APIAddr  string // "127.0.0.1:0" if empty
	// InMemory listens nowhere: feeds come from OpenFeed, the API is Handler, hooks go through
	// Transport.
	InMemory bool

	// Scale is how much faster than real the platform's clock runs, 1 if zero: at 20 the 60 s
	// before NoActiveViewers are 3 s.
	Scale float64
	// Silence is how long a publisher may send nothing before its feed ends; real time, whatever
	// the scale; 10 s if zero.
	Silence time.Duration
	Seed    uint64 // of everything random in faults

	Behaviour Behaviour
	Hooks     HookFaults
	API       APIFaults

	// Crowd is the number of foreign live streams on the account, each with a viewer. The API lists
	// them before all others. Before every other page Churn of them end, and as many begin before
	// the next page.
	Crowd, Churn int

	SlowAcks  bool              // see [rtmp.Settings]
	Transport http.RoundTripper // carries the hooks; a plain one without a proxy if nil
	Log       *slog.Logger      // nil: none

	// Snapshot makes a thumbnail of one keyframe, an FLV file. If it is nil, thumbnails are test
	// cards.
	Snapshot func(ctx context.Context, flv []byte) (jpeg []byte, err error)
	// OnTag gets every message of every publisher, from the publisher's goroutine. The tag's data
	// is valid during the call.
	OnTag func(feedID, stream string, t rtmp.Tag)
	// OnDelivery gets every delivery when its fate is known. Those of one stream come in order
	// unless a fault disturbs it; those of several streams come at once.
	OnDelivery func(Delivery)
}

// Behaviour is what the vendor does not document. The zero value is the simulator's own choice; a
// controller must be right either way.
type Behaviour struct {
	// EndedFirst sends ended(old) before started(new) when a feed overwrites another.
	EndedFirst bool
	// OverwrittenStays leaves an overwritten feed connected. It is on the air again when the newer
	// one ends.
	OverwrittenStays bool
	// RTMPSkipsIPs lets RTMP publishers in from any address, whatever their token says. The vendor
	// does not support such limits with RTMP, and does not say what they do there.
	RTMPSkipsIPs bool
	// RevokingCuts disconnects the publishers of a token that is disabled or gets a new value, as
	// deleting it always does.
	RevokingCuts bool
	// WholeFilter makes a webhook's filter match whole names only, not parts of them.
	WholeFilter bool
	// FirstViewerOnce sends FirstViewerConnection once per broadcast, and not again when viewers
	// return to it.
	FirstViewerOnce bool
	// NoViewersAfterAttempts sends NoActiveViewers also when viewers gave up without getting in.
	NoViewersAfterAttempts bool
	// PageAfterStart begins a page of the webhook list after startingId instead of at it.
	PageAfterStart bool
	// Skew is how far the platform's clock is ahead of this host's; not scaled.
	Skew time.Duration
}

func (set *Settings) fill() error {
	if set.Account == "" {
		set.Account = "ABC123"
	}
	if !set.Secret.Set() {
		set.Secret = randomSecret()
	}
	if err := millicast.CheckSecret(set.Secret); err != nil {
		return fmt.Errorf("simulator: %w", err)
	}
	if !set.APISecret.Set() {
		set.APISecret = randomSecret()
	}
	if set.RTMPAddr == "" {
		set.RTMPAddr = "127.0.0.1:0"
	}
	if set.APIAddr == "" {
		set.APIAddr = "127.0.0.1:0"
	}
	if set.Scale == 0 {
		set.Scale = 1
	}
	if set.Scale < 0 {
		return fmt.Errorf("simulator: clock scale %v: it must be positive", set.Scale)
	}
	if set.Snapshot == nil {
		set.Snapshot = testCard
	}
	if set.Log == nil {
		set.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}
