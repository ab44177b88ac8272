package dataset

import "github.com/weirnet/weir/flow"

// joinSlack is how far the clock of a table of flows may be off the capture's, in nanoseconds.
const joinSlack = int64(1e9)

// joiner finds the rows of a table of flows by 5-tuple and time.
type joiner struct {
	rows  []flowRow
	byKey map[flow.Key][]int32 // indexes of rows, in the table's order
}

// newJoiner indexes rows, which it keeps.
func newJoiner(rows []flowRow) *joiner {
	j := &joiner{rows: rows, byKey: make(map[flow.Key][]int32)}
	for i := range rows {
		j.byKey[rows[i].key] = append(j.byKey[rows[i].key], int32(i))
	}
	return j
}

// match is what a join found.
type match uint8

const (
	noRow     match = iota // the table does not have the 5-tuple, or not at that time
	oneRow                 // the row is the flow's, or its rows agree on the label
	ambiguous              // rows of different labels fit equally well
)

// find returns the row of a flow. Rows of the 5-tuple that agree on the label need no time; where
// they do not, the row nearest in time decides, and rows further away than joinSlack do not count.
func (j *joiner) find(key flow.Key, start, last int64) (row int32, m match) {
	candidates := j.byKey[joinKey(key)]
	if len(candidates) == 0 {
		return -1, noRow
	}
	agree := true
	for _, i := range candidates[1:] {
		agree = agree && j.rows[i].label == j.rows[candidates[0]].label
	}
	row, distance, tie := j.nearest(candidates, start, last)
	switch {
	case agree:
		return row, oneRow
	case tie:
		return row, ambiguous
	case distance > joinSlack:
		return -1, noRow
	}
	return row, oneRow
}

// at returns the row that a packet of the time given belongs to: a row of its 5-tuple that
// covers the time, give or take joinSlack, or that has no time.
func (j *joiner) at(key flow.Key, nanos int64) (row int32, ok bool) {
	candidates := j.byKey[joinKey(key)]
	if len(candidates) == 0 {
		return -1, false
	}
	row, distance, _ := j.nearest(candidates, nanos, nanos)
	return row, distance <= joinSlack
}

// nearest returns the row whose time is nearest to [start, last], the distance in nanoseconds
// (0 where they overlap), and whether a row of another label is as near. Among rows that overlap
// the one that starts nearest to start wins. Rows without a time are at distance 0.
func (j *joiner) nearest(candidates []int32, start, last int64) (best int32, distance int64, tie bool) {
	best = candidates[0]
	var offset int64
	for n, i := range candidates {
		r := &j.rows[i]
		var d, o int64
		if r.start != noTime {
			d, o = gap(r.start, r.end, start, last), apart(r.start, start)
		}
		switch {
		case n == 0 || d < distance || d == distance && o < offset:
			best, distance, offset, tie = i, d, o, false
		case d == distance && o == offset && r.label != j.rows[best].label:
			tie = true
		}
	}
	return best, distance, tie
}

// gap returns the time between two intervals, 0 when they touch.
func gap(start, end, otherStart, otherEnd int64) int64 {
	switch {
	case otherStart > end:
		return apart(otherStart, end)
	case start > otherEnd:
		return apart(start, otherEnd)
	}
	return 0
}

// apart returns the distance of two times; it saturates.
func apart(a, b int64) int64 {
	if a < b {
		a, b = b, a
	}
	if d := a - b; d >= 0 {
		return d
	}
	return 1<<63 - 1
}
