package ffmpeg
import ("testing")
func BenchmarkOff(b *testing.B){
	for _,sb:=range []string{"off","auto"}{ b.Run(sb,func(b *testing.B){
	s := scripted(b, "exec sleep 1000"); s.Sandbox=sb
		e := openIn(b, s, b.TempDir())
		defer func() { _ = e.Close() }()
		for b.Loop() {
			start(b, e, job)
			b.StopTimer()
			if err := e.Stop(b.Context(), job); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
	})}
}
