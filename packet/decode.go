package packet

// Decode fills h from the captured bytes of a frame whose length on the wire was wireLen.
func (h *Headers) Decode(link LinkType, frame []byte, wireLen int) Reason {
	*h = Headers{}
	return UnknownLink
}
