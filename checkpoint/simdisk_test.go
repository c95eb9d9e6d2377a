package checkpoint

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// A simDisk is a disk in memory that knows what a power cut would leave of it. A file's writes are durable after its
// Sync, names after syncDir. After a Sync that failed, what it should have written may be durable or not, and later ones
// of the same file succeed and do nothing about it: systems report such an error once, and then hold the pages for clean
// until they are written to again.
type simDisk struct {
	names   map[string]*simFile   // as programs see them
	durable []map[string]*simFile // as a power cut may leave them: after the last syncDir, and after each change since

	steps int
	// before is called before each step, with its name; an error makes the step fail. A write that fails has written
	// half, and a Close has closed.
	before func(d *simDisk, step string) error
}

// A simFile is a file's content.
type simFile struct {
	data   []byte // as programs see it
	synced []byte // what is on the platter
	dirty  []func(platter []byte, cut int) []byte
	locked bool
}

// A simInfo is what Stat tells of a simFile.
type simInfo struct {
	fs.FileInfo
	f    *simFile
	size int64
}

func (i simInfo) Size() int64       { return i.size }
func (i simInfo) Mode() fs.FileMode { return newMode }

func newSimDisk() *simDisk {
	return &simDisk{names: map[string]*simFile{}, durable: []map[string]*simFile{{}}}
}

func (d *simDisk) step(name string) error {
	d.steps++
	if d.before == nil {
		return nil
	}
	return d.before(d, name)
}

// renamed notes a change of names.
func (d *simDisk) renamed() { d.durable = append(d.durable, maps.Clone(d.names)) }

// What a power cut leaves of the writes that were not synced.
const (
	cutAll   = iota // nothing
	cutNone         // everything
	cutHalf         // the first half of the last write
	cutZeros        // the second half of it; in place of the first what was there before, or zeros
	cuts
)

// crashes returns the disks that a power cut at this moment may leave.
func (d *simDisk) crashes() []*simDisk {
	var left []*simDisk
	for _, names := range d.durable {
		for cut := range cuts {
			after := newSimDisk()
			for name, f := range names {
				content := bytes.Clone(f.synced)
				for i, apply := range f.dirty {
					switch {
					case cut == cutAll:
					case i < len(f.dirty)-1:
						content = apply(content, cutNone)
					default:
						content = apply(content, cut)
					}
				}
				if cut == cutNone {
					content = bytes.Clone(f.data)
				}
				after.names[name] = &simFile{data: content, synced: bytes.Clone(content)}
			}
			after.durable[0] = maps.Clone(after.names)
			left = append(left, after)
		}
	}
	return left
}

func (d *simDisk) String() string {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(d.names)) {
		fmt.Fprintf(&text, "%s:\n%s\n", name, d.names[name].data)
	}
	return text.String()
}

func (d *simDisk) find(name string) (*simFile, error) {
	if f := d.names[name]; f != nil {
		return f, nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

func (d *simDisk) lock(name string) (file, error) {
	if err := d.step("lock"); err != nil {
		return nil, err
	}
	f := d.names[name]
	if f == nil {
		f = &simFile{}
		d.names[name] = f
		d.renamed()
	}
	if f.locked {
		return nil, ErrLocked
	}
	f.locked = true
	return &simHandle{d, f, true}, nil
}

func (d *simDisk) holder(name string) ([]byte, error) {
	f, err := d.find(name)
	if err != nil {
		return nil, err
	}
	return f.data, nil
}

func (d *simDisk) stat(name string) (fs.FileInfo, error) {
	if err := d.step("stat"); err != nil {
		return nil, err
	}
	f, err := d.find(name)
	if err != nil {
		return nil, err
	}
	return simInfo{f: f, size: int64(len(f.data))}, nil
}

func (d *simDisk) same(a, b fs.FileInfo) bool { return a.(simInfo).f == b.(simInfo).f }

func (d *simDisk) create(name string, _ fs.FileMode) (file, error) {
	if err := d.step("create"); err != nil {
		return nil, err
	}
	if d.names[name] != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrExist}
	}
	f := &simFile{}
	d.names[name] = f
	d.renamed()
	return &simHandle{d, f, false}, nil
}

func (d *simDisk) open(name string) (file, error) {
	if err := d.step("open"); err != nil {
		return nil, err
	}
	f, err := d.find(name)
	return &simHandle{d, f, false}, err
}

func (d *simDisk) rename(from, to string) error {
	if err := d.step("rename"); err != nil {
		return err
	}
	d.names[to] = d.names[from]
	delete(d.names, from)
	d.renamed()
	return nil
}

func (d *simDisk) remove(name string) error {
	if err := d.step("remove"); err != nil {
		return err
	}
	delete(d.names, name)
	d.renamed()
	return nil
}

func (d *simDisk) syncDir(dir string) error {
	if dir != filepath.Dir(simPath) {
		return fmt.Errorf("syncDir of %s", dir)
	}
	if err := d.step("syncDir"); err != nil {
		return err
	}
	d.durable = []map[string]*simFile{maps.Clone(d.names)}
	return nil
}

// write changes the content from off on, or cuts it at off.
func (f *simFile) write(off int64, p []byte, truncate bool) {
	p = bytes.Clone(p)
	apply := func(content []byte, cut int) []byte {
		end := int(off) + len(p)
		if truncate {
			return append(content, make([]byte, max(0, end-len(content)))...)[:end]
		}
		if cut == cutHalf {
			end = int(off) + len(p)/2
		}
		content = append(content, make([]byte, max(0, end-len(content)))...)
		if half := len(p) / 2; cut == cutZeros {
			copy(content[int(off)+half:end], p[half:])
		} else {
			copy(content[off:end], p)
		}
		return content
	}
	f.data = apply(f.data, cutNone)
	f.dirty = append(f.dirty, apply)
}

// A simHandle is a simFile that is open.
type simHandle struct {
	d    *simDisk
	f    *simFile
	lock bool // Close gives it up
}

func (h *simHandle) ReadAt(p []byte, off int64) (int, error) {
	if err := h.d.step("read"); err != nil {
		return 0, err
	}
	return bytes.NewReader(h.f.data).ReadAt(p, off)
}

func (h *simHandle) Stat() (fs.FileInfo, error) {
	if err := h.d.step("stat"); err != nil {
		return nil, err
	}
	return simInfo{f: h.f, size: int64(len(h.f.data))}, nil
}

func (h *simHandle) WriteAt(p []byte, off int64) (int, error) {
	if err := h.d.step("write"); err != nil {
		h.f.write(off, p[:len(p)/2], false)
		return len(p) / 2, err
	}
	h.f.write(off, p, false)
	return len(p), nil
}

func (h *simHandle) Truncate(size int64) error {
	if err := h.d.step("truncate"); err != nil {
		return err
	}
	h.f.write(size, nil, true)
	return nil
}

func (h *simHandle) Sync() error {
	if err := h.d.step("sync"); err != nil {
		h.f.dirty = nil
		return err
	}
	for _, apply := range h.f.dirty {
		h.f.synced = apply(h.f.synced, cutNone)
	}
	h.f.dirty = nil
	return nil
}

func (h *simHandle) Close() error {
	h.f.locked = h.f.locked && !h.lock
	return h.d.step("close")
}
