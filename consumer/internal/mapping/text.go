package mapping

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// read reads a document, whose characters may be UTF-16, as shells of Windows write them into files.
func read(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxSize+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxSize:
		return nil, fmt.Errorf("more than %d bytes: want the JSON of one event source mapping", maxSize)
	case bytes.HasPrefix(text, []byte("\xff\xfe")):
		return wide(text[2:], binary.LittleEndian)
	case bytes.HasPrefix(text, []byte("\xfe\xff")):
		return wide(text[2:], binary.BigEndian)
	}
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && n == 1 {
			return nil, fmt.Errorf("the byte at offset %d is not UTF-8: save the document as UTF-8", i)
		}
		i += n
	}
	return text, nil
}

// wide reads UTF-16.
func wide(text []byte, order binary.ByteOrder) ([]byte, error) {
	units := make([]uint16, len(text)/2)
	for i := range units {
		units[i] = order.Uint16(text[2*i:])
	}
	runes := utf16.Decode(units)
	if len(text)%2 != 0 || !slices.Equal(utf16.Encode(runes), units) {
		return nil, errors.New("a part of a character is missing in UTF-16: save the document as UTF-8")
	}
	return []byte(string(runes)), nil
}

// parse reads one JSON object and nothing behind it, in which no object has a key twice.
func parse(text []byte) (*fields, error) {
	var all json.RawMessage
	dec := json.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(&all); err != nil {
		if yaml(text) {
			return nil, errors.New(`this is YAML, want JSON: the AWS CLI prints it with "--output json", and "cfn-flip -j template.yaml" ` +
				`(pip install cfn-flip) makes it of a template`)
		}
		offset := len(text)
		if e := (*json.SyntaxError)(nil); errors.As(err, &e) {
			offset = max(int(e.Offset)-1, 0)
		}
		return nil, broken(text, offset, err)
	}
	if end := int(dec.InputOffset()); len(bytes.TrimLeft(text[end:], " \t\r\n")) > 0 {
		return nil, broken(text, end, errors.New("something follows the object"))
	}
	dec = json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := distinct(dec, text); err != nil {
		return nil, err
	}
	return objectOf(all)
}

// yaml guesses, from the first line that says something, whether text is YAML.
func yaml(text []byte) bool {
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, rest, ok := strings.Cut(strings.TrimPrefix(line, "- "), ":")
		word := strings.Trim(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-'\"") == ""
		return line == "---" || ok && word && key != "" && (rest == "" || rest[0] == ' ')
	}
	return false
}

// broken says where text is not JSON.
func broken(text []byte, offset int, err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("not JSON at line %d, offset %d: %w", 1+bytes.Count(text[:offset], []byte("\n")), offset, err)
}

// distinct reads a value and tells of a key that an object in it has twice: readers of JSON differ in which one they take.
func distinct(dec *json.Decoder, text []byte) error {
	open, err := dec.Token()
	if err != nil || open != json.Delim('{') && open != json.Delim('[') {
		return err
	}
	seen := map[string]bool{}
	for dec.More() {
		if open == json.Delim('{') {
			token, err := dec.Token()
			if err != nil {
				return err
			}
			key, _ := token.(string)
			if seen[key] {
				return fmt.Errorf("%s: given twice in one object, again at line %d", key, 1+bytes.Count(text[:dec.InputOffset()], []byte("\n")))
			}
			seen[key] = true
		}
		if err := distinct(dec, text); err != nil {
			return err
		}
	}
	_, err = dec.Token()
	return err
}
