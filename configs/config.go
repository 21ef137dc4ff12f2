package configs

import (
	"net/netip"
	"slices"
	"time"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/configs/words"
)

// Config is a valid configuration. It does not change after [Load]; a reload makes a new one.
type Config struct {
	File string `yaml:"-"` // as given to Load

	Modified time.Time `yaml:"-"` // when the file was last written, which tells versions of it apart; zero: not known

	Listen         string              `yaml:"listen" shown:"yes" doc:"public side, for the platform's webhooks: host:port, unix:/path, or systemd (a passed socket)"`
	TLS            TLS                 `yaml:"tls" doc:"HTTPS on listen, with a certificate from files or by ACME; without it, plain HTTP"`
	Admin          Admin               `yaml:"admin" doc:"status, dashboard, control API and metrics"`
	DataDir        string              `yaml:"data_dir" shown:"yes" doc:"folder for the database, encoder logs and thumbnails"`
	OnExit         string              `yaml:"on_exit" enum:"leave,stop" doc:"when the controller stops: leave encoders running (adopted at the next start), or stop them"`
	PublicURL      string              `yaml:"public_url" shown:"yes" doc:"https address by which the platform reaches listen; the webhook is this + /hooks/millicast"`
	Log            Log                 `yaml:"log" doc:"the controller's own log"`
	TrustedProxies []netip.Prefix      `yaml:"trusted_proxies" doc:"networks of proxies whose X-Forwarded-For is trusted"`
	Retention      Retention           `yaml:"retention" doc:"how long records are kept, whichever limit comes first"`
	Accounts       map[string]*Account `yaml:"accounts" doc:"accounts of the platform, by account id"`
	Defaults       Timing              `yaml:"defaults" doc:"for every stream that does not say otherwise"`
	Limits         Limits              `yaml:"limits" doc:"caps for the whole host"`
	Wake           Wake                `yaml:"wake" doc:"links by which pages ask for a stream before their viewer presses play; off without a secret"`
	Encoders       []*Encoder          `yaml:"encoders,own" doc:"boxes and processes that can publish, by name, with one driver key each"`
	Helpers        []*Encoder          `yaml:"helpers,own" doc:"things that must be on for an encoder, such as the plug of its power, by name, with one driver key each"`
	Streams        []*Stream           `yaml:"streams,own" doc:"which encoder publishes which stream, by stream name, account/name, or a pattern with * and ?"`
	Notify         []Notify            `yaml:"notify" doc:"who is told what happened"`

	encoders map[string]*Encoder // and helpers, by name
	exact    map[string]*Stream  // by id
	patterns []*Stream           // in file order
	secrets  []secret.Value
}

// TLS is either a certificate in files or ACME, or neither.
type TLS struct {
	CertFile string `yaml:"cert_file" shown:"yes" doc:"PEM certificate chain; needs key_file"`
	KeyFile  string `yaml:"key_file" shown:"yes" doc:"PEM private key; needs cert_file"`
	ACME     ACME   `yaml:"acme" doc:"a certificate from Let's Encrypt, renewed automatically"`
}

// On reports whether the public side speaks HTTPS itself.
func (t TLS) On() bool { return t.CertFile != "" || len(t.ACME.Domains) > 0 }

// ACME asks for a certificate for Domains. Email may be empty.
type ACME struct {
	Domains []string `yaml:"domains" shown:"yes" doc:"host names of the certificate; they must lead here from the Internet"`
	Email   string   `yaml:"email" doc:"where the authority writes when a certificate is about to expire"`
}

// Admin is the private side.
type Admin struct {
	Listen       string       `yaml:"listen" shown:"yes" doc:"host:port, unix:/path, or systemd"`
	Token        secret.Value `yaml:"token" doc:"Bearer token; required when listen is not loopback or a unix socket"`
	Socket       string       `yaml:"socket" shown:"yes" doc:"path of an additional unix socket for oncue's own commands, without a token"`
	AllowedHosts []string     `yaml:"allowed_hosts" shown:"yes" doc:"more names by which browsers may reach the admin side"`
}

// Log says what is logged and how.
type Log struct {
	Level  string `yaml:"level" enum:"debug,info,warn,error" doc:"lowest level that is logged"`
	Format string `yaml:"format" enum:"auto,text,json" doc:"auto is text on a terminal and fit for journald elsewhere"`
}

// Retention bounds what the database keeps. 0 lifts a bound.
type Retention struct {
	Events  time.Duration `yaml:"events" doc:"age at which received webhooks are dropped; 0 = no bound"`
	History time.Duration `yaml:"history" doc:"age at which transitions of streams are dropped; 0 = no bound"`
	MaxSize Size          `yaml:"max_size" doc:"size of the database at which the oldest are dropped; 0 = no bound"`
}

// Account is one account of the platform.
type Account struct {
	ID             string         `yaml:"-"`
	WebhookSecrets []secret.Value `yaml:"webhook_secrets" doc:"base64, as the platform shows them; any of them verifies, so list two while rotating"`
	APISecret      secret.Value   `yaml:"api_secret" doc:"lets the controller ask the platform what is live, and manage the webhook"`
	APIURL         string         `yaml:"api_url" shown:"yes" doc:"base address of the platform's REST API"`
	PollInterval   time.Duration  `yaml:"poll_interval" min:"1s" doc:"how often to ask the platform what is live and who watches; needs api_secret"`
	ManageWebhook  bool           `yaml:"manage_webhook" doc:"create or repair the webhook at start and whenever the platform disables it; needs api_secret and public_url"`
	ForceStop      bool           `yaml:"force_stop" doc:"have the platform disconnect a feed that stays open after its encoder was stopped; needs api_secret"`
}

// Prefill implements [Prefiller].
func (a *Account) Prefill() {
	a.APIURL = "https://api.millicast.com"
	a.PollInterval = 30 * time.Second
}

// Limits are caps for the whole host. 0 lifts a cap.
type Limits struct {
	Running        int `yaml:"running" min:"0" doc:"encoders running at once on this host; 0 = no cap"`
	Cost           int `yaml:"cost" min:"0" doc:"sum of the cost of the encoders that run at once on this host; 0 = no cap"`
	HooksPerSecond int `yaml:"hooks_per_second" min:"0" doc:"flood guard on the public side: deliveries that no secret verifies, from one sender (an address, or an IPv6 /64); signed hooks are never limited; 0 = no cap"`
}

// Wake turns wake links on: pages ask for a stream by them before their viewer presses play. They
// are off without a secret.
type Wake struct {
	Secret  secret.Value  `yaml:"secret" doc:"signs the links: 16 characters or more, which your site knows, too"`
	Origins []string      `yaml:"origins" shown:"yes" doc:"sites whose pages may use links, such as https://example.com"`
	Hold    time.Duration `yaml:"hold" min:"5s" max:"1h" doc:"how long a page wants the stream; it asks again while it waits"`
}

// Notify is one receiver of notices.
type Notify struct {
	URL    secret.Value `yaml:"url" doc:"where to: a shoutrrr URL (slack://, telegram://, smtp:// ...) or a plain https webhook"`
	On     []string     `yaml:"on" enum:"failed,recovered,stop_unconfirmed,max_uptime,webhook_disabled,store_corrupt,disk_full,pattern_full" doc:"which notices; empty = all"`
	Secret secret.Value `yaml:"secret" doc:"signs plain webhooks by the Standard Webhooks scheme: base64, may begin with whsec_"`
}

// Encoder is one box or process that can publish, or a helper.
type Encoder struct {
	Name     string
	Helper   bool   // it publishes nothing: encoders need it
	Driver   string // key in Options.Drivers
	Settings any    // what Options.Drivers[Driver] returned, filled in; a pointer to the driver's settings
	Line     int    // where the file defines it

	EncoderKeys // unless it is a helper
	HelperKeys  // if it is one

	// Secrets are those of its settings, and references in its other keys that count as secrets;
	// see package secret.
	Secrets []secret.Value
}

// EncoderKeys stand beside the driver's key of an encoder.
type EncoderKeys struct {
	Needs []string `yaml:"needs" shown:"yes" doc:"the helpers that have to be ready before it starts, in the order of their own starts"`
	Cost  int      `yaml:"cost" min:"0" doc:"what its run counts for in limits.cost"`
}

// HelperKeys stand beside the driver's key of a helper.
type HelperKeys struct {
	Linger       time.Duration `yaml:"linger" doc:"how long it stays on when no encoder needs it any more"`
	ReadyTimeout time.Duration `yaml:"ready_timeout" min:"1ms" doc:"from its start to its word that it is ready; then the start of the encoder has failed"`
}

// DefaultFile is where commands look for the configuration unless --config says otherwise.
const DefaultFile = "/etc/oncue/oncue.yaml"

// Default is the configuration of an empty file. All defaults are here, in builtIn, and in the
// Prefill methods.
func Default() *Config {
	return &Config{
		Listen:  ":8080",
		Admin:   Admin{Listen: "127.0.0.1:8081"},
		DataDir: "/var/lib/oncue",
		OnExit:  "leave",
		Log:     Log{Level: "info", Format: "auto"},
		Retention: Retention{
			Events:  30 * words.Day,
			History: 90 * words.Day,
			MaxSize: 1 << 30,
		},
		Wake:     Wake{Hold: 30 * time.Second},
		Defaults: builtIn(),
	}
}

// Encoder returns the encoder or helper of that name.
func (c *Config) Encoder(name string) (*Encoder, bool) {
	e, ok := c.encoders[name]
	return e, ok
}

// Boxes are the encoders, then the helpers.
func (c *Config) Boxes() []*Encoder { return slices.Concat(c.Encoders, c.Helpers) }

// Before lists the helpers that are started before the given one wherever both are needed, so it
// is stopped before them.
func (c *Config) Before(helper string) (names []string) {
	for _, e := range c.Encoders {
		for _, name := range e.Needs[:max(slices.Index(e.Needs, helper), 0)] {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// Secrets returns every secret of the file, and the references that count as secrets, for a
// [secret.Masker]. The caller owns the slice.
func (c *Config) Secrets() []secret.Value { return append([]secret.Value(nil), c.secrets...) }
