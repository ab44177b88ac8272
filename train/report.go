package train

import (
	"fmt"

	"github.com/weirnet/weir/report"
)

// AppsReport returns the page with the curves of a training run: loss by epoch, and how the
// validation went. name is the model's, split says what validated.
func AppsReport(r *AppsResult, name, split string) *report.Page {
	var trained, packetLoss, flowLoss, packetAccuracy, flowAccuracy report.Series
	trained.Name, packetLoss.Name, flowLoss.Name = "training", "validation, packets", "validation, flows"
	packetAccuracy.Name, flowAccuracy.Name = "packets", "flows"
	seconds := 0.0
	flows := r.Model.Arch.Flow
	for _, e := range r.History {
		seconds += e.Seconds
		if e.Refit {
			continue
		}
		point := func(s *report.Series, y float64) { s.X, s.Y = append(s.X, float64(e.Number)), append(s.Y, y) }
		point(&trained, e.Loss)
		point(&packetLoss, e.PacketLoss)
		point(&packetAccuracy, e.PacketAccuracy)
		if flows {
			point(&flowLoss, e.FlowLoss)
			point(&flowAccuracy, e.FlowAccuracy)
		}
	}
	losses, accuracies := []report.Series{trained, packetLoss}, []report.Series{packetAccuracy}
	if flows {
		losses, accuracies = append(losses, flowLoss), append(accuracies, flowAccuracy)
	}
	return &report.Page{
		Title: "Training of " + name,
		Facts: []report.Fact{
			{Name: "Split", Value: split},
			{Name: "Epochs", Value: fmt.Sprintf("%d, the weights of epoch %d were kept", len(trained.X), r.Best)},
			{Name: "Time", Value: fmt.Sprintf("%.0f s", seconds)},
		},
		Sections: []report.Section{{
			Title: "Curves",
			Note:  "The training loss has label smoothing and class weights in it, and with a packet and a flow network it is their sum; compare its shape, not its height.",
			Blocks: []report.Block{
				report.Lines{Caption: "Loss by epoch", X: "epoch", Y: "loss", Log: true, Series: losses},
				report.Lines{Caption: "Validation accuracy by epoch", X: "epoch", Y: "accuracy", Share: true, Series: accuracies},
			},
		}},
	}
}
