package main

import (
	"fmt"
	"html"
	"io"
	"math"
	"strconv"
	"strings"
)

// A panel is one of the plot's two diagrams, with logarithmic axes.
type panel struct {
	title, page      string
	x                func(row) float64
	left             float64
	fromX, toX       float64
	fromY, toY       float64
	labelX           func(float64) string
	width, top, high float64
}

var colours = map[string]string{"shardlane": "#0072b2", "sdk": "#555555", "harlow": "#d55e00", "vmware": "#009e73"}

// writePlot draws CPU time per record against the size of records, and against the number of shards, as SVG.
func writePlot(w io.Writer, rows []row) {
	fmt.Fprintln(w, `<svg xmlns="http://www.w3.org/2000/svg" width="960" height="420" viewBox="0 0 960 420" font-family="sans-serif" font-size="13">`)
	fmt.Fprintln(w, `<rect width="960" height="420" fill="white"/>`)
	for _, p := range []panel{
		{
			title: "by size of records, pages of 1 MB, 16 shards", page: "size", left: 70, x: func(r row) float64 { return float64(r.Size) },
			labelX: func(v float64) string { return strconv.Itoa(int(v)) + " B" },
		},
		{
			title: "by shards, 1,000 records of 1 KB a page", page: "shards", left: 550, x: func(r row) float64 { return float64(r.Shards) },
			labelX: func(v float64) string { return strconv.Itoa(int(v)) },
		},
	} {
		p.width, p.top, p.high = 380, 60, 290
		p.draw(w, rows)
	}
	for i, s := range subjects {
		x := 70 + 220*i
		fmt.Fprintf(w, `<line x1="%d" y1="400" x2="%d" y2="400" stroke="%s" stroke-width="2.5"/>`+"\n", x, x+24, colours[s.name])
		label(w, float64(x+30), 404, "start", titles[s.name])
	}
	fmt.Fprintln(w, `</svg>`)
}

func (p *panel) draw(w io.Writer, rows []row) {
	p.fromX, p.fromY = math.Inf(1), math.Inf(1)
	for _, r := range rows {
		if r.Page == p.page {
			p.fromX, p.toX = min(p.fromX, p.x(r)), max(p.toX, p.x(r))
			p.fromY, p.toY = min(p.fromY, r.CPU), max(p.toY, r.CPU)
		}
	}
	if p.toX <= p.fromX || p.toY <= 0 {
		return
	}
	p.fromY, p.toY = math.Pow(10, math.Floor(math.Log10(p.fromY))), math.Pow(10, math.Ceil(math.Log10(p.toY)))
	label(w, p.left+p.width/2, 30, "middle", "CPU time per record "+p.title)
	for v := p.fromY; v <= p.toY*1.001; v *= 10 {
		y := p.y(v)
		fmt.Fprintf(w, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#dddddd"/>`+"\n", p.left, y, p.left+p.width, y)
		label(w, p.left-6, y+4, "end", perRecord(v))
	}
	for v := math.Pow(10, math.Floor(math.Log10(p.fromX))); v <= p.toX*1.001; v *= 10 {
		if v >= p.fromX*0.999 {
			x := p.across(v)
			fmt.Fprintf(w, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#dddddd"/>`+"\n", x, p.top, x, p.top+p.high)
			label(w, x, p.top+p.high+18, "middle", p.labelX(v))
		}
	}
	for _, s := range subjects {
		var points strings.Builder
		for _, r := range rows {
			if r.Page == p.page && r.Subject == s.name {
				fmt.Fprintf(&points, "%.1f,%.1f ", p.across(p.x(r)), p.y(r.CPU))
				fmt.Fprintf(w, `<circle cx="%.1f" cy="%.1f" r="3.5" fill="%s"/>`+"\n", p.across(p.x(r)), p.y(r.CPU), colours[s.name])
			}
		}
		fmt.Fprintf(w, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2.5"/>`+"\n", points.String(), colours[s.name])
	}
}

func (p *panel) across(v float64) float64 {
	return p.left + p.width*math.Log(v/p.fromX)/math.Log(p.toX/p.fromX)
}

func (p *panel) y(v float64) float64 {
	return p.top + p.high*(1-math.Log(v/p.fromY)/math.Log(p.toY/p.fromY))
}

func label(w io.Writer, x, y float64, anchor, text string) {
	fmt.Fprintf(w, `<text x="%.1f" y="%.1f" text-anchor="%s">%s</text>`+"\n", x, y, anchor, html.EscapeString(text))
}
