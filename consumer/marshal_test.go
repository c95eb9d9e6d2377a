package consumer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// A Status as JSON says what its methods say: the health, the lag, ages as people write them, and errors with their hints.
func TestStatusAsJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 2)
		defer srv.Close()
		var mu sync.Mutex
		var notices []consumer.Notice
		r := start(t, srv, func(context.Context, events.KinesisEvent) error { return errors.New("database is down") },
			consumer.WithNotify(func(n consumer.Notice) { mu.Lock(); defer mu.Unlock(); notices = append(notices, n) }))
		srv.PutHash("orders", "alice", "0", []byte("1"))
		time.Sleep(time.Minute + 300*time.Millisecond)
		st := r.c.Status()
		var got struct {
			Worker, Behind string
			Err, Ready     *string
			Shards         []map[string]any
		}
		decode(t, st, &got)
		if got.Worker != st.Worker || got.Behind != st.Behind().Round(time.Millisecond).String() || got.Err == nil || *got.Err != st.Err().Error() || got.Ready != nil {
			t.Errorf("%+v\nis not what the status says: %v behind, %v", got, st.Behind(), st.Err())
		}
		for i, sh := range st.Shards {
			v := reflect.ValueOf(sh)
			for j := range v.NumField() {
				name := v.Type().Field(j).Name
				want := fmt.Sprint(v.Field(j).Interface())
				switch f := v.Field(j).Interface().(type) {
				case time.Duration:
					want = f.Round(time.Millisecond).String()
					if _, text := got.Shards[i][name].(string); !text {
						t.Errorf("%s is %v, want text", name, got.Shards[i][name])
					}
				case nil:
					want = "<nil>"
				}
				if has := fmt.Sprint(got.Shards[i][name]); has != want {
					t.Errorf("%s of %s is %s, want %s", name, sh.Shard, has, want)
				}
			}
			if len(got.Shards[i]) != v.NumField() {
				t.Errorf("shard %d has the keys %v", i, got.Shards[i])
			}
		}
		if st.Shards[0].Err == nil || st.Shards[1].Err != nil {
			t.Errorf("errors %v and %v, want one of the first shard", st.Shards[0].Err, st.Shards[1].Err)
		}
		_, _ = r.stop()
		got.Ready = nil
		decode(t, r.c.Status(), &got)
		if got.Ready == nil || *got.Ready != r.c.Status().Ready().Error() {
			t.Errorf("once it has stopped, ready says %v, want %v", got.Ready, r.c.Status().Ready())
		}
		for _, n := range notices {
			var got struct {
				Name string
				Err  *string
			}
			decode(t, n, &got)
			if got.Name != n.Name || (got.Err == nil) != (n.Err == nil) || n.Err != nil && *got.Err != n.Err.Error() {
				t.Errorf("%+v is not the notice %+v", got, n)
			}
		}
	})
}

func decode(t *testing.T, v, into any) {
	t.Helper()
	b, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(b, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// What New, Run and RunAll return is as JSON what Error says: one error and several, each with its line.
func TestErrorsAsJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := kinesistest.NewServer("orders", 1)
		defer srv.Close()
		_, options := consumer.New(srv.Client(), "orders", nothing, consumer.WithBatchSize(0), consumer.WithGroup(""))
		_, option := consumer.New(srv.Client(), "orders", nothing, consumer.WithBatchSize(0))
		var cs []*consumer.Consumer
		for _, stream := range []string{"clicks", "views"} {
			c, err := consumer.New(srv.Client(), stream, nothing, silent())
			if err != nil {
				t.Fatal(err)
			}
			cs = append(cs, c)
		}
		one := cs[0].Run(t.Context())
		if _, ok := one.(*consumer.Error); !ok { //nolint:errorlint // it is not to be wrapped
			t.Errorf("Run returned a %T, want a *consumer.Error", one)
		}
		for name, c := range map[string]struct {
			err   error
			lines int
		}{
			"option": {option, 1}, "options": {options, 2}, "one": {one, 1},
			"none": {consumer.RunAll(t.Context()), 1},
			"both": {consumer.RunAll(t.Context(), cs...), 2},
		} {
			var got string
			decode(t, c.err, &got)
			if got != c.err.Error() || got == "" || len(strings.Split(got, "\n")) > c.lines {
				t.Errorf("%s: %q is not %q in %d lines", name, got, c.err, c.lines)
			}
			for line := range strings.Lines(got) {
				if strings.Count(line, "consumer:") != 1 {
					t.Errorf("%s: %q says consumer: other than once", name, line)
				}
			}
		}
		var log strings.Builder
		slog.New(slog.NewJSONHandler(&log, nil)).Info("end", "err", one, "status", cs[0].Status())
		if text, _ := json.Marshal(one.Error()); !strings.Contains(log.String(), `"err":`+string(text)) {
			t.Errorf("the log says %s", log.String())
		}
	})
}
