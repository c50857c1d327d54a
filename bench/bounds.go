package main

// What Weir holds itself to, judged by the tables.

import (
	"strings"

	"github.com/weir-run/weir/bench/report"
)

// metadata is how much memory, in KB, the description of a function may take that has no process. A process would
// take a hundred times as much.
const metadata = 50

func bounds(tables []report.Table) []report.Bound {
	var out []report.Bound
	for _, t := range tables {
		title, handler, _ := strings.Cut(t.Title, ", ")
		of := " (" + handler + ")"
		switch title {
		case warmTitle:
			out = append(out,
				t.Hold("warm, 1 connection, to node:http"+of, plain.name, bare, oneConn, 0.65, true),
				t.Hold("warm, 1 connection, to workerd"+of, plain.name, "workerd", oneConn, 1, true),
				t.Hold("warm, 64 connections, two instances, to node:http"+of, twoAtOnce.name, bare, manyConns, 0.2, true),
				t.Hold("warm, 64 connections, concurrency = 32, to node:http"+of, many.name, bare, manyConns, 0.5, true))
		case coldTitle:
			if handler != "trivial" {
				out = append(out,
					provided(t, plain.name, "pool", t.Hold("first answer from the pool, to node"+of, plain.name, bare, medianCol, 0.6, false)),
					provided(t, forked.name, "zygote", t.Hold("first answer from a zygote, to node"+of, forked.name, bare, medianCol, 0.12, false)))
			}
		case freshTitle:
			if handler == "stripe" {
				out = append(out, provided(t, apart.name, "zygote",
					value(t, `isolation = "request", two at a time`+of, apart.name, bothCores, report.Bound{Limit: 250, AtLeast: true, Unit: "/s"})))
			}
		case memoryTitle:
			out = append(out, provided(t, forked.name, "zygote",
				value(t, "private memory of a zygote's child"+of, forked.name, privateCol, report.Bound{Limit: 2, Unit: " MB"})))
		case egressTitle:
			out = append(out,
				t.Hold("https keep-alive request, p50, to direct", calling.name, direct, keepAlive, 1.6, false),
				t.Hold("100 MB over https, to direct", calling.name, direct, download, 0.7, true))
		case fleetTitle:
			out = append(out, idle(t)...)
		}
	}
	return out
}

// provided takes a bound's value away if the row's processes did not come to be in the way that it is about.
func provided(t report.Table, row, start string, b report.Bound) report.Bound {
	if r := t.Row(row); r != nil && b.Value != nil && !strings.Contains(r.Note, start+" ") {
		b.Value, b.NotBuilt = nil, true
	}
	return b
}

// value is a bound of a value by itself.
func value(t report.Table, name, row, column string, b report.Bound) report.Bound {
	b.Name = name
	if v := t.Values(row, column); len(v) > 0 {
		m := report.Median(v)
		b.Value = &m
	} else if r := t.Row(row); r != nil {
		b.NotBuilt = r.Note == report.NotBuilt
	}
	return b
}

// idle are the bounds of functions without a process: the rows are those of one function and of many.
func idle(t report.Table) []report.Bound {
	memory := report.Bound{Name: "memory of a deployed function without a process", Limit: metadata, Unit: " KB"}
	processes := report.Bound{Name: "processes of deployed functions that nobody has called", Limit: 0}
	one, all := t.Rows[0], t.Rows[len(t.Rows)-1]
	if len(one.Cells) > 0 && len(all.Cells) > 0 {
		m := (report.Median(all.Cells[1]) - report.Median(one.Cells[1])) * 1024 / float64(deployed-1)
		p := report.Median(all.Cells[2]) - report.Median(one.Cells[2])
		memory.Value, processes.Value = &m, &p
	}
	return []report.Bound{memory, processes}
}
