package nn_test

import (
	"testing"

	"github.com/weirnet/weir/nn"
	"github.com/weirnet/weir/nn/graph"
)

// What a graph computes is what the layers compute in evaluation.
func TestGraphOfLayers(t *testing.T) {
	r := nn.NewRand(7)
	image := nn.Image{Height: 7, Width: 6, Channels: 3}
	conv := nn.NewConv2D("conv", image, 5, 3, 2, 1).AddBias("conv")
	norm := nn.NewBatchNormReLU("norm", 5)
	block := nn.NewBottleneck("block", conv.Out, 4, 8, 2)
	same := nn.NewBottleneck("same", block.Out, 4, 8, 1)
	layers := nn.Sequential{
		conv, norm, nn.NewDropout("dropout", 0.5), block, same, nn.NewGlobalAvgPool(same.Out),
		nn.NewDense("dense", 8, 6), new(nn.ReLU), nn.NewDense("head", 6, 4),
	}
	fresh(layers.Params(), r)

	const n = 3
	x := make([]float32, n*image.Size())
	fill(x, r)
	g := new(graph.Graph)
	g.Output("scores", layers.Graph(g, g.Input("x", graph.Float, image)))
	agree(t, runGraph(t, g, x), layers.Forward(nn.Pass{}, x))
}

func TestGraphOfText(t *testing.T) {
	r := nn.NewRand(8)
	embedding := nn.NewEmbedding("embedding", 9, 3)
	conv := nn.NewConv1D("conv", 12, 3, 4, 4, 2).AddBias("conv")
	dense := nn.NewDense("dense", conv.Out.Size(), 5)
	bag := nn.NewBag("bag", 6, 5)
	concat := &nn.Concat{Widths: []int{5, 5}}
	lstm := nn.NewLSTM("lstm", 10, 4, 2, 0.3)
	for _, ps := range [][]*nn.Param{embedding.Params(), conv.Params(), dense.Params(), bag.Params(), lstm.Params()} {
		fresh(ps, r)
	}

	text := []uint16{0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 8, 8}
	index, counts := []uint16{5, 0, 5}, []int{3}
	row := concat.Forward(dense.Forward(nn.Pass{}, conv.Forward(nn.Pass{}, embedding.Forward(text))), bag.Forward(index, counts))
	want := lstm.Forward(nn.Pass{}, row, []int{1})

	g := new(graph.Graph)
	words := g.Input("text", graph.Index, nn.Image{Height: 1, Width: 12, Channels: 1})
	grams := g.Input("grams", graph.Index, nn.Image{Height: 1, Width: 4, Channels: 1})
	both := g.Apply("concat", graph.Concat{}, dense.Graph(g, conv.Graph(g, embedding.Graph(g, words))), bag.Graph(g, grams))
	g.Output("state", lstm.Graph(g, both))
	agree(t, runGraph(t, g, floats(text), []float32{5, 0, 5, 6}), want)
}

func TestGraphOfSequence(t *testing.T) {
	r := nn.NewRand(9)
	lstm, dense := nn.NewLSTM("lstm", 5, 6, 1, 0), nn.NewDense("dense", 6, 5)
	fresh(append(lstm.Params(), dense.Params()...), r)
	x := make([]float32, 2*3*5)
	fill(x, r)
	g := new(graph.Graph)
	g.Output("y", dense.Graph(g, lstm.Graph(g, g.Input("x", graph.Float, graph.Sequence(3, 5)))))
	agree(t, runGraph(t, g, x), dense.Forward(nn.Pass{}, lstm.Forward(nn.Pass{}, x, []int{3, 3})))
}

// fresh gives weights and running statistics values that are not the first ones.
func fresh(params []*nn.Param, r *nn.Rand) {
	nn.Init(params, 3)
	for _, p := range params {
		for i := range p.Value {
			p.Value[i] += float32(0.2 * r.Float64())
		}
	}
}

func fill(x []float32, r *nn.Rand) {
	for i := range x {
		x[i] = float32(r.Normal())
	}
}

func floats(x []uint16) []float32 {
	y := make([]float32, len(x))
	for i, v := range x {
		y[i] = float32(v)
	}
	return y
}

func runGraph(t *testing.T, g *graph.Graph, inputs ...[]float32) []float32 {
	t.Helper()
	outputs, err := g.Run(inputs)
	if err != nil {
		t.Fatal(err)
	}
	return outputs[0]
}

func agree(t *testing.T, got, want []float32) {
	t.Helper()
	if d := near(got, want); !(d < 1e-5) {
		t.Errorf("got %v\nwant %v: %v apart", got, want, d)
	}
}
