package flow

import "reflect"

// Opening is the first payloads of a flow, in order of arrival: of TCP segments and UDP datagrams
// that carry any, as they came, without reassembly. A flow keeps it while it has no final label.
// It lives in the table's pool: valid until Release or until the flow's OnEnd has returned.
type Opening struct {
	Payloads []Payload
}

// Payload is the application payload of one packet of an opening.
type Payload struct {
	Nanos int64     // capture time of its packet
	Dir   Direction // who sent it
	Len   int       // bytes on the wire
	Data  []byte    // the first captured bytes, at most Config.OpeningBytes
}

var payloadSize = int(reflect.TypeFor[Payload]().Size())

// pool lends memory for openings, never more than limit bytes in all, lent or kept for reuse.
// Payloads come in blocks of four sizes, so that a flow of small messages does not hold large
// blocks.
type pool struct {
	limit    int
	packets  int // payloads of an opening
	sizes    [4]int
	blocks   [4][][]byte // not lent, by size
	openings []*Opening  // not lent
	held     int         // bytes lent or not
	lent     int         // bytes
}

func newPool(limit, packets, payloadLen int) *pool {
	p := &pool{limit: limit, packets: packets}
	for i := range p.sizes {
		p.sizes[i] = max(1, payloadLen>>(len(p.sizes)-1-i))
	}
	return p
}

// opening returns an empty opening, or nil when the memory is used up.
func (p *pool) opening() *Opening {
	size := p.packets * payloadSize
	if n := len(p.openings); n > 0 {
		o := p.openings[n-1]
		p.openings = p.openings[:n-1]
		p.lent += size
		return o
	}
	if !p.reserve(size) {
		return nil
	}
	return &Opening{Payloads: make([]Payload, 0, p.packets)}
}

// add copies a payload into an opening, or reports that the memory is used up. Data is cut to the
// largest block.
func (p *pool) add(o *Opening, payload Payload) bool {
	largest := len(p.sizes) - 1
	data := payload.Data[:min(len(payload.Data), p.sizes[largest])]
	payload.Data = nil
	if len(data) > 0 {
		class := 0
		for p.sizes[class] < len(data) {
			class++
		}
		var block []byte
		if n := len(p.blocks[class]); n > 0 {
			block = p.blocks[class][n-1]
			p.blocks[class] = p.blocks[class][:n-1]
			p.lent += p.sizes[class]
		} else if p.reserve(p.sizes[class]) {
			block = make([]byte, p.sizes[class])
		} else {
			return false
		}
		payload.Data = block[:copy(block, data)]
	}
	o.Payloads = append(o.Payloads, payload)
	return true
}

// reserve accounts for size bytes about to be allocated and lent. When they do not fit, blocks that
// are kept for reuse in other sizes make room.
func (p *pool) reserve(size int) bool {
	for class := len(p.blocks) - 1; class >= 0 && p.held+size > p.limit; class-- {
		for n := len(p.blocks[class]); n > 0 && p.held+size > p.limit; n-- {
			p.blocks[class][n-1] = nil
			p.blocks[class] = p.blocks[class][:n-1]
			p.held -= p.sizes[class]
		}
	}
	for n := len(p.openings); n > 0 && p.held+size > p.limit; n-- {
		p.openings[n-1] = nil
		p.openings = p.openings[:n-1]
		p.held -= p.packets * payloadSize
	}
	if p.held+size > p.limit {
		return false
	}
	p.held += size
	p.lent += size
	return true
}

// release takes an opening back.
func (p *pool) release(o *Opening) {
	for i := range o.Payloads {
		if block := o.Payloads[i].Data; block != nil {
			block = block[:cap(block)]
			class := 0
			for p.sizes[class] < len(block) {
				class++
			}
			p.blocks[class] = append(p.blocks[class], block)
			p.lent -= p.sizes[class]
		}
		o.Payloads[i] = Payload{}
	}
	o.Payloads = o.Payloads[:0]
	p.openings = append(p.openings, o)
	p.lent -= p.packets * payloadSize
}
