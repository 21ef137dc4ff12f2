package encoders_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/fake"
)

// What every encoder promises, shown by one without hardware: a start and a stop may be repeated,
// and no stream takes an encoder from another.
func ExampleEncoder() {
	ctx := context.Background()
	box, err := fake.New(fake.Defaults(), encoders.Env{Name: "bench"})
	if err != nil {
		fmt.Println(err)
		return
	}
	var enc encoders.Encoder = box
	lobby := encoders.Job{Account: "ABC123", Name: "lobby", Run: "run1"}
	stage := encoders.Job{Account: "ABC123", Name: "stage", Run: "run2"}

	fmt.Println("start:", enc.Start(ctx, lobby))
	fmt.Println("once more:", enc.Start(ctx, lobby))
	fmt.Println("for another stream is busy:", errors.Is(enc.Start(ctx, stage), encoders.ErrBusy))
	status, err := enc.Status(ctx, lobby)
	fmt.Println("status:", status.State, status.Run, err)
	fmt.Println("stop:", enc.Stop(ctx, lobby))
	fmt.Println("once more:", enc.Stop(ctx, lobby))

	// Output:
	// start: <nil>
	// once more: <nil>
	// for another stream is busy: true
	// status: publishing run1 <nil>
	// stop: <nil>
	// once more: <nil>
}
