package kinesistest

import (
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
)

// Frames of the event stream encoding: lengths and their checksum, headers, a payload, and a checksum of it all.

const eventStreamType = "application/vnd.amazon.eventstream"

// eventFrame is a frame with an event, or with the response that comes before the first one.
func eventFrame(event string, payload []byte) []byte {
	return frame(payload, ":event-type", event, ":content-type", contentType, ":message-type", "event")
}

// exceptionFrame is a frame that ends a stream.
func exceptionFrame(refused *apiError) []byte {
	payload, _ := json.Marshal(struct {
		Message string `json:"message"`
	}{refused.message})
	return frame(payload, ":exception-type", refused.code, ":content-type", contentType, ":message-type", "exception")
}

// frame encodes a payload with headers, in pairs of name and value.
func frame(payload []byte, headers ...string) []byte {
	const lengths, checksum, text = 8, 4, 7
	size := 0
	for i := 0; i < len(headers); i += 2 {
		size += 1 + len(headers[i]) + 1 + 2 + len(headers[i+1])
	}
	b := make([]byte, 0, lengths+checksum+size+len(payload)+checksum)
	b = binary.BigEndian.AppendUint32(b, uint32(cap(b)))
	b = binary.BigEndian.AppendUint32(b, uint32(size))
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	for i := 0; i < len(headers); i += 2 {
		name, value := headers[i], headers[i+1]
		b = append(append(b, byte(len(name))), name...)
		b = binary.BigEndian.AppendUint16(append(b, text), uint16(len(value)))
		b = append(b, value...)
	}
	b = append(b, payload...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}
