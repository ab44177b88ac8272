package main

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/weirnet/weir/anomaly"
	"github.com/weirnet/weir/evaluate"
)

// The incidents that an evaluation counts are those that service tells: packages anomaly and
// evaluate may not know each other, so each joins alarms itself.
func TestIncidentsAgree(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 2))
	length := 5 * time.Second
	for range 300 {
		var windows []evaluate.WindowResult
		var incident anomaly.Incident
		want := 0
		for i := range 1 + r.IntN(40) {
			w := evaluate.WindowResult{Start: int64(i) * int64(length), Score: 1, Threshold: 2}
			if r.IntN(3) == 0 {
				w.Score, w.Anomalous = 3, true
				if want == 0 || !incident.Join(w.Start, length, w.Score) {
					want++
					incident = anomaly.Incident{}
					incident.Join(w.Start, length, w.Score)
				}
			}
			windows = append(windows, w)
		}
		result, err := evaluate.Anomaly(evaluate.AnomalyInput{Length: length, Windows: windows})
		if err != nil {
			t.Fatal(err)
		}
		if result.Incidents != want {
			t.Fatalf("evaluation counts %d incidents, service %d in %v", result.Incidents, want, windows)
		}
	}
}
