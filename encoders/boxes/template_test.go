package boxes

import (
	"testing"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/encodertest"
)

func TestPublishParts(t *testing.T) {
	const password = encodertest.Canary
	job := encodertest.NewJob("rtmps://rtmp-auto.millicast.com:443/v2/pub/a%20b?token=" + password + "&sourceId=1")
	for text, want := range map[string]string{
		"{publish_server}": "rtmps://rtmp-auto.millicast.com:443/v2/pub", "{publish_key}": "a%20b?token=" + password +
			"&sourceId=1",
		"{publish_stream}": "a b", "{publish_token}": password, "{publish_query}": "token=" + password + "&sourceId=1",
	} {
		tpl, err := ParseTemplate(text)
		if err != nil {
			t.Fatal(err)
		}
		v := &Values{Words: &Words{}, Job: job, Mask: NewMasker(&Words{}, nil, encoders.Job{})}
		if got, err := tpl.Fill(v, InText, false); err != nil || got != want {
			t.Errorf("%s is %q, %v; want %q", text, got, err, want)
		}
		if shown, err := tpl.Fill(v, InText, true); err != nil || shown != Mask {
			t.Errorf("%s is shown as %q, %v", text, shown, err)
		}
	}
	if got := SplitPublish("https://h/api/whip/lobby?auth=abcDEF")["publish_token"]; got != "abcDEF" {
		t.Errorf("the token of a WHIP address is %q", got)
	}
	job.Publish = secret.New("srt://srt-auto.millicast.com:10000?streamid=lobby%3Ft%3DabcDEF")
	parts := SplitPublish(job.Publish.Reveal())
	if parts["publish_streamid"] != "lobby?t=abcDEF" || parts["publish_stream"] != "lobby" ||
		parts["publish_token"] != "abcDEF" || parts["publish_server"] != "srt://srt-auto.millicast.com:10000" {
		t.Errorf("the parts of an SRT address are %v", parts)
	}
}
