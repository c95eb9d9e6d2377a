package checkpoint_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/shardlane/shardlane/checkpoint"
)

// A row outlives the process. A write names the revision that it has seen, and nobody's write is lost unseen.
func ExampleFile() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "checkpoint")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "orders.ck")

	store, err := checkpoint.OpenFile(path)
	if err != nil {
		panic(err)
	}
	first, err := store.Swap(ctx, checkpoint.Entry{Key: "billing/lease", Value: []byte("worker one")})
	fmt.Println("put:", err)
	_, err = store.Swap(ctx, checkpoint.Entry{Key: "billing/lease", Value: []byte("worker two")})
	fmt.Println("put once more:", err)
	first.Value = []byte("worker one, at record 7")
	_, err = store.Swap(ctx, first)
	fmt.Println("at the revision that was read:", err)
	if err := store.Close(); err != nil {
		panic(err)
	}

	store, err = checkpoint.OpenFile(path)
	if err != nil {
		panic(err)
	}
	defer store.Close()
	row, err := store.Get(ctx, "billing/lease")
	fmt.Printf("after a restart: %s, %v\n", row.Value, err)

	// Output:
	// put: <nil>
	// put once more: checkpoint: entry changed since it was read
	// at the revision that was read: <nil>
	// after a restart: worker one, at record 7, <nil>
}

// A service that has outgrown one process takes its progress with it. The Memory stands for a store that workers share.
func ExampleCopy() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "checkpoint")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	file, err := checkpoint.OpenFile(filepath.Join(dir, "orders.ck")) // fails while the old service runs
	if err != nil {
		panic(err)
	}
	defer file.Close()
	for _, key := range []string{"stream/1:orders:7", "lease/1:orders:7/shard-0", "lease/1:orders:7/shard-1"} {
		if _, err := file.Swap(ctx, checkpoint.Entry{Key: "billing/" + key, Value: []byte("{}")}); err != nil { // a consumer does
			panic(err)
		}
	}

	shared := new(checkpoint.Memory)
	fmt.Println(checkpoint.Copy(ctx, shared, file, "billing"))
	fmt.Println(checkpoint.Copy(ctx, shared, file, "billing")) // does no harm

	row, err := shared.Get(ctx, "billing/lease/1:orders:7/shard-0") // somebody has begun to work there
	if err != nil {
		panic(err)
	}
	row.Value = []byte(`{"epoch":2}`)
	if _, err := shared.Swap(ctx, row); err != nil {
		panic(err)
	}
	_, err = checkpoint.Copy(ctx, shared, file, "billing")
	fmt.Println(errors.Is(err, checkpoint.ErrOccupied))

	// Output:
	// 3 <nil>
	// 0 <nil>
	// true
}

// In a rolling deploy, the new process waits until the old one has ended.
func ExampleOpenFileContext() {
	dir, err := os.MkdirTemp("", "checkpoint")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "orders.ck")

	old, err := checkpoint.OpenFile(path)
	if err != nil {
		panic(err)
	}
	_, err = checkpoint.OpenFile(path)
	var locked *checkpoint.LockedError
	fmt.Println("locked:", errors.As(err, &locked), "by this process:", locked.PID == os.Getpid())

	time.AfterFunc(50*time.Millisecond, func() { old.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	store, err := checkpoint.OpenFileContext(ctx, path)
	fmt.Println("then open:", err)
	if err == nil {
		store.Close()
	}

	// Output:
	// locked: true by this process: true
	// then open: <nil>
}

// Sequence numbers are compared as numbers, however long they are and whatever zeros stand in front of them.
func ExamplePosition_Compare() {
	for _, pair := range [][2]string{{"9", "10"}, {"0009", "9"}, {"0010", "9"}} {
		a, err := checkpoint.After(pair[0])
		if err != nil {
			panic(err)
		}
		b, err := checkpoint.After(pair[1])
		if err != nil {
			panic(err)
		}
		seq, _, _, _ := a.Sequence()
		fmt.Println(seq, pair[1], a.Compare(b), a)
	}
	_, err := checkpoint.After("shard-7")
	fmt.Println(errors.Is(err, checkpoint.ErrSequence), err)

	// Output:
	// 9 10 -1 1/0019/~
	// 0009 9 0 1/0019/~/000
	// 0010 9 1 1/00210/~/00
	// true checkpoint: bad sequence number: "shard-7": not decimal digits
}
