//go:build unix

package wire_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/shardlane/shardlane/consumer/internal/wire"
)

// BenchmarkGetRecords compares calls through the SDK's client with the Decoder and without, which take turns. The body comes
// from memory. Times are those of all processors (getrusage), so the garbage collector's is in them:
//
//	go test -run '^$' -bench GetRecords -benchtime 20x ./consumer/internal/wire
//
// The ratio is the median over turns of the Decoder's time to that of the SDK in the same turn.
func BenchmarkGetRecords(b *testing.B) {
	for _, p := range []struct {
		name          string
		records, size int
	}{{"a", 10_000, 1000}, {"b", 1000, 1000}, {"c", 500, 100}} {
		b.Run(fmt.Sprintf("%s/%dx%d", p.name, p.records, p.size), func(b *testing.B) {
			a := answer{body: serviceLike(p.records, p.size), kind: jsonKind}
			var d wire.Decoder
			calls := max(1, 10_000/p.records)
			measure := func(opts ...func(*kinesis.Options)) (time.Duration, float64, float64) {
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				start := cpu(b)
				for range calls {
					if out, err := get(b, a, opts...); err != nil || len(out.Records) != p.records {
						b.Fatal(err)
					}
				}
				took, n := cpu(b)-start, float64(calls*p.records)
				runtime.ReadMemStats(&after)
				return took, float64(after.Mallocs-before.Mallocs) / n, float64(after.TotalAlloc-before.TotalAlloc) / n
			}
			var sdk, own time.Duration
			var ratios []float64
			var allocs, bytes, sdkAllocs, sdkBytes float64
			turns := 0
			measure()
			measure(d.Option)
			for b.Loop() {
				s, sa, sb := measure()
				o, oa, ob := measure(d.Option)
				sdk, own, turns = sdk+s, own+o, turns+1
				ratios = append(ratios, float64(o)/float64(s))
				allocs, bytes, sdkAllocs, sdkBytes = allocs+oa, bytes+ob, sdkAllocs+sa, sdkBytes+sb
			}
			if _, slow := d.Counts(); slow > 0 {
				b.Errorf("%d replies were left to the SDK", slow)
			}
			slices.Sort(ratios)
			records := float64(turns * calls * p.records)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(sdk)/records, "sdk-ns/record")
			b.ReportMetric(float64(own)/records, "ns/record")
			b.ReportMetric(ratios[len(ratios)/2], "ratio")
			b.ReportMetric(ratios[0], "ratio-min")
			b.ReportMetric(ratios[len(ratios)-1], "ratio-max")
			b.ReportMetric(allocs/float64(turns), "allocs/record")
			b.ReportMetric(sdkAllocs/float64(turns), "sdk-allocs/record")
			b.ReportMetric(bytes/float64(turns), "B/record")
			b.ReportMetric(sdkBytes/float64(turns), "sdk-B/record")
		})
	}
}

// cpu is what the process has used.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// serviceLike is a page as the service writes it.
func serviceLike(records, size int) []byte {
	rnd := rand.New(rand.NewPCG(7, 8))
	var b bytes.Buffer
	b.WriteString(`{"MillisBehindLatest":4000,"NextShardIterator":"` + base64.StdEncoding.EncodeToString(make([]byte, 170)) + `","Records":[`)
	data := make([]byte, size)
	for i := range records {
		if i > 0 {
			b.WriteByte(',')
		}
		for j := range data {
			data[j] = byte(rnd.Uint32())
		}
		fmt.Fprintf(&b, `{"ApproximateArrivalTimestamp":1.72812%07dE9,"Data":"%s","PartitionKey":"customer-%08d","SequenceNumber":"4965%052d"}`,
			i, base64.StdEncoding.EncodeToString(data), rnd.IntN(1e6), i)
	}
	b.WriteString(`]}`)
	return b.Bytes()
}
