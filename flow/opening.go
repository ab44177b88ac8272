package flow

// Opening is the first payloads of a flow, in order of arrival. It lives in the table's pool:
// valid until Release or until the flow's OnEnd has returned.
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
