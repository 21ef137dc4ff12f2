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

// Times of the platform, before the clock scale. Documented: attemptSpacing, noViewersDelay, thumbnailPeriod, thumbnailMinute, summaryMemory.
// Read in the vendor's web player: firstBackoff, lastBackoff.
const (
	attemptSpacing  = 10 * time.Second // between ViewerAttempt hooks of one stream
	noViewersDelay  = 60 * time.Second // from the last viewer's leaving to NoActiveViewers
	firstBackoff    = 2 * time.Second
	lastBackoff     = 32 * time.Second
	thumbnailPeriod = 30 * time.Second
	thumbnailMinute = time.Minute
	thumbnailBurst  = 6         // thumbnails on demand in a minute, per stream
	summaryMemory   = time.Hour // how long the API lists a stream that ended
)

// Settings of a simulated platform. The zero value is usable: a random webhook secret, no webhook, ports chosen by the system.
type Settings struct {
	Account   string       // account id; "ABC123" if empty
	Secret    secret.Value // webhook secret of the first webhook, base64; random if not set
	APISecret secret.Value // what the REST API takes as Bearer; random if not set
	Token     secret.Value // first publishing token, for every stream and with thumbnails; see [Token] for what is taken if it is not set

	WebhookURL string // the first webhook, for feed and viewer events; none if empty
	Thumbnails bool   // the first webhook gets thumbnails too, and the platform takes one of every live feed each 30 s

	RTMPAddr string // "127.0.0.1:0" if empty
	APIAddr  string // "127.0.0.1:0" if empty
	InMemory bool   // listen nowhere: feeds come from OpenFeed, the API is Handler, hooks go through Transport

	Scale   float64       // how much faster than real the platform's clock runs: at 20 the 60 s before NoActiveViewers are 3 s. 1 if zero
	Silence time.Duration // after so long without a byte a publisher is gone; real time, whatever the scale; 10 s if zero
	Seed    uint64        // of everything random in faults

	Behaviour Behaviour
	Hooks     HookFaults
	API       APIFaults

	Crowd int // streams of others on the account, live, each with a viewer; the API lists them before all others
	Churn int // so many of them end before every other page that is asked for, and as many begin before the next

	SlowAcks  bool              // see [rtmp.Settings]
	Transport http.RoundTripper // carries the hooks; a plain one without a proxy if nil
	Log       *slog.Logger      // nil: none

	// Snapshot makes a thumbnail of one keyframe, an FLV file. If it is nil, thumbnails are drawn test cards.
	Snapshot func(ctx context.Context, flv []byte) (jpeg []byte, err error)
	// OnTag gets every message of every publisher, from the publisher's goroutine. The tag's data is valid during the call.
	OnTag func(feedID, stream string, t rtmp.Tag)
	// OnDelivery gets every delivery when its fate is known: one stream's in order while no fault disturbs it, several streams' at once.
	OnDelivery func(Delivery)
}

// Behaviour is what the vendor does not document. The zero value is the simulator's own choice; a controller must be right either way.
type Behaviour struct {
	EndedFirst             bool          // at a take-over, ended(old) goes out before started(new)
	OverwrittenStays       bool          // a feed that another one overwrites stays connected, and is shown again when that one ends
	RTMPSkipsIPs           bool          // what a token says of IP addresses does not matter over RTMP: the vendor does not support it there
	RevokingCuts           bool          // disabling a token, or making it anew, disconnects its publishers, as deleting it always does
	WholeFilter            bool          // a webhook's filter must match the whole name, and not only a part of it
	FirstViewerOnce        bool          // FirstViewerConnection only once per broadcast, not again when viewers return to it
	NoViewersAfterAttempts bool          // NoActiveViewers also when viewers gave up without ever getting in
	PageAfterStart         bool          // the webhook list begins behind startingId instead of at it
	Skew                   time.Duration // the platform's clock is ahead of ours by so much; not scaled
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
