package ffmpeg

import (
	"fmt"

	"github.com/oncue/oncue/encoders"
)

// openSound returns the arguments that open AudioInput as FFmpeg's second input, and its list, to
// be read from descriptor fd, as [input.opening] does, and whether it may be probed briefly.
func (s Settings) openSound(job encoders.Job, fd int, fast bool) (args []string, list string, brief bool, err error) {
	s = s.ofSound(job)
	in, err := readInput(s.Input)
	if err != nil {
		return nil, "", false, fmt.Errorf("the audio_input %w", err)
	}
	in.fd = fd
	args, list = in.opening(s, fast, newRedactor(s, job))
	return args, list, in.brief(), nil
}

// ofSound are the settings with AudioInput as the input, of which pictures are not read.
func (s Settings) ofSound(job encoders.Job) Settings {
	args := []string{"-vn"}
	if in, err := readInput(s.Input); err == nil && in.byClock() && s.soundIsByClock() {
		args = []string{"-isync", "0"}
	}
	s.AudioInput = argument(job, s.AudioInput)
	s.Input, s.InputArgs = s.AudioInput, append(args, fillAll(job, s.AudioInputArgs)...)
	s.Video, s.FPS, s.Width, s.Height = "none", 0, 0, 0
	return s
}

// soundIsByClock reports whether the times of AudioInput are those of this host's clock. If the
// picture's are as well, FFmpeg keeps them together (-isync, since 5.1): otherwise both would begin
// at 0, and the sound run ahead by as long as its device took to open after the other.
func (s Settings) soundIsByClock() bool {
	in, err := readInput(s.AudioInput)
	return err == nil && in.soundCard()
}

// together are the output's options for sound of its own source. The two have two clocks, so the
// sound is stretched by up to 2 % to stay with the times of its source. When the sound ends, there
// is silence, and viewers keep the picture; when the picture ends, so does the run.
func (s Settings) together() []string {
	switch {
	case s.AudioInput == "":
		return nil
	case s.Audio == "copy":
		return []string{"-shortest"}
	}
	return []string{"-af", "aresample=async=1000,apad", "-shortest"}
}
