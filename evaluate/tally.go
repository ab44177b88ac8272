package evaluate

// A Score is how often a label was right over some items (packets, flows, or
// captures) whose true label the model knows.
//
// Accuracy is the share that is right. MacroF1 is the plain mean of F1 over the
// classes that occur in the truth of these items; a class that only occurs as a
// wrong answer lowers the precision of nobody but itself and is not in the
// mean. F1 of a class is 2TP / (2TP + FP + FN).
type Score struct {
	Accuracy Number `json:"accuracy"`
	MacroF1  Number `json:"macro_f1"`
	Items    int    `json:"items"`
	Classes  int    `json:"classes"` // that occur in the truth

	// 95 % intervals by resampling captures within their labels; nil with fewer than five captures.
	AccuracyInterval *Interval `json:"accuracy_interval,omitempty"`
	MacroF1Interval  *Interval `json:"macro_f1_interval,omitempty"`
}

// A ClassScore is one class of the truth, over flows. Precision of a class that
// was never answered is 0.
type ClassScore struct {
	Label     string `json:"label"`
	Precision Number `json:"precision"`
	Recall    Number `json:"recall"`
	F1        Number `json:"f1"`
	Support   int    `json:"support"`   // flows that are of this class
	Predicted int    `json:"predicted"` // flows of any known class that were given it
}

// A Confusion counts, for each true class (row), the answers (column). It holds
// the classes that occur as either. The last column is NoAnswer when a flow got none.
type Confusion struct {
	Labels []string `json:"labels"`
	Counts [][]int  `json:"counts"`
}

// NoAnswer names the answer of a model that gave none.
const NoAnswer = "(none)"

// noClass is an answer that is no class.
const noClass = -1

// A tally counts answers by class: all that scores are made of. Classes run
// from 0; an answer outside of them is none.
type tally struct {
	right   []int // true positives
	truth   []int // items of the class: true positives and false negatives
	answers []int // items answered as the class: true and false positives
}

func newTally(classes int) *tally {
	return &tally{make([]int, classes), make([]int, classes), make([]int, classes)}
}

func (t *tally) add(truth, answer int) {
	t.truth[truth]++
	if answer < 0 || answer >= len(t.answers) {
		return
	}
	t.answers[answer]++
	if answer == truth {
		t.right[truth]++
	}
}

// f1 is 2TP / (2TP + FP + FN): its denominator is the items of the class and the answers of it.
func (t *tally) f1(class int) Number { return share(2*t.right[class], t.truth[class]+t.answers[class]) }

func (t *tally) score() Score {
	s := Score{MacroF1: Undefined}
	right := 0
	var sum Number
	for class, n := range t.truth {
		if n == 0 {
			continue
		}
		s.Items += n
		right += t.right[class]
		s.Classes++
		sum += t.f1(class)
	}
	s.Accuracy = share(right, s.Items)
	if s.Classes > 0 {
		s.MacroF1 = sum / Number(s.Classes)
	}
	return s
}

func (t *tally) perClass(labels []string) []ClassScore {
	out := []ClassScore{}
	for class, n := range t.truth {
		if n == 0 {
			continue
		}
		c := ClassScore{Label: labels[class], Recall: share(t.right[class], n), F1: t.f1(class), Support: n, Predicted: t.answers[class]}
		if c.Predicted > 0 {
			c.Precision = share(t.right[class], c.Predicted)
		}
		out = append(out, c)
	}
	return out
}

// A matrix counts pairs of truth (row) and answer (column, the last for none).
type matrix [][]int

func newMatrix(classes int) matrix {
	m := make(matrix, classes)
	for i := range m {
		m[i] = make([]int, classes+1)
	}
	return m
}

func (m matrix) add(truth, answer int) {
	if answer < 0 || answer >= len(m) {
		answer = len(m)
	}
	m[truth][answer]++
}

// confusion leaves out the classes that are neither true nor answered.
func (m matrix) confusion(labels []string) Confusion {
	var kept []int
	none := 0
	for i, row := range m {
		used := 0
		for j := range m {
			used += row[j] + m[j][i]
		}
		if used+row[len(m)] > 0 {
			kept = append(kept, i)
		}
		none += row[len(m)]
	}
	if none > 0 {
		kept = append(kept, len(m)) // a row too, so that rows and columns have the same names
	}
	c := Confusion{Labels: []string{}, Counts: [][]int{}}
	for _, i := range kept {
		row := make([]int, len(kept))
		for to, j := range kept {
			if i < len(m) {
				row[to] = m[i][j]
			}
		}
		c.Counts = append(c.Counts, row)
		if i < len(m) {
			c.Labels = append(c.Labels, labels[i])
		} else {
			c.Labels = append(c.Labels, NoAnswer)
		}
	}
	return c
}
