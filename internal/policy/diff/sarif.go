package diff

// The result for code scanning: SARIF 2.1.0 (OASIS standard, 27 March 2020). Only gains are told: what
// is lost needs nobody's attention there.

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/url"
	"path"
)

type sarifLog struct {
	Schema  string     `json:"$schema"`
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool struct {
		Driver sarifDriver `json:"driver"`
	} `json:"tool"`
	Results []sarifResult `json:"results"`
}

type sarifDriver struct {
	Name  string      `json:"name"`
	Rules []sarifRule `json:"rules"`
}

type sarifRule struct {
	ID    string    `json:"id"`
	Short sarifText `json:"shortDescription"`
}

type sarifText struct {
	Text string `json:"text"`
}

type sarifResult struct {
	RuleID    string            `json:"ruleId"`
	RuleIndex int               `json:"ruleIndex"`
	Level     string            `json:"level"`
	Message   sarifText         `json:"message"`
	Locations []sarifLocation   `json:"locations"`
	Prints    map[string]string `json:"partialFingerprints"`
}

type sarifLocation struct {
	Physical sarifPhysical `json:"physicalLocation"`
}

type sarifPhysical struct {
	Artifact sarifArtifact `json:"artifactLocation"`
	Region   *sarifRegion  `json:"region,omitempty"`
}

type sarifArtifact struct {
	URI string `json:"uri"`
}

type sarifRegion struct {
	Line   int `json:"startLine"`
	Column int `json:"startColumn,omitempty"`
}

// sarifRules are the kinds of gains; a change's rule is "gained/" and its Kind.
var sarifRules = []struct{ kind, text string }{
	{"http", "A function may make HTTP requests that it could not make before"},
	{"ws", "A function may open WebSockets that it could not open before"},
	{"tcp", "A function may connect where it could not connect before"},
	{"udp", "A function may send datagrams where it could not before"},
	{"dns", "A function may ask for DNS records that it could not ask for before"},
	{"read", "A function may read files of the host that it could not read before"},
	{"write", "A function may write files that it could not write before"},
	{"exec", "A function may start programs that it could not start before"},
	{"env", "A function sees variables that it did not see before"},
	{"mode", "What a function's policy does not allow is no longer denied"},
	{"addons", "A function may load native libraries"},
	{"isolation", "One invocation of a function may find what another left in its process"},
	{"limit", "A limit of a function is larger than before"},
}

// SARIF writes the gains for code scanning. dir is the folder of the policies after, relative to the
// repository, with slashes.
func (r Result) SARIF(w io.Writer, dir string) error {
	var run sarifRun
	run.Tool.Driver = sarifDriver{Name: "weir policy diff"}
	index := map[string]int{}
	for i, rule := range sarifRules {
		index[rule.kind] = i
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{"gained/" + rule.kind, sarifText{rule.text}})
	}
	run.Results = []sarifResult{}
	for _, c := range r.Changes {
		if !c.Gained {
			continue
		}
		text := c.Function + " gains " + c.Kind + " " + c.What
		for _, n := range c.notes() {
			text += "; " + n
		}
		sum := sha256.Sum256([]byte(c.Function + "\x00" + c.Kind + "\x00" + c.What))
		result := sarifResult{RuleID: "gained/" + c.Kind, RuleIndex: index[c.Kind], Level: "warning", Message: sarifText{text},
			Prints: map[string]string{"privilege/v1": hex.EncodeToString(sum[:16])}}
		// Code scanning refuses results without a place.
		file := path.Join(dir, cmp.Or(c.Pos.File, "weir.toml"))
		if path.IsAbs(c.Pos.File) {
			file = c.Pos.File
		}
		at := sarifPhysical{Artifact: sarifArtifact{URI: (&url.URL{Path: file}).String()}}
		if c.Pos.Line > 0 {
			at.Region = &sarifRegion{c.Pos.Line, c.Pos.Column}
		}
		result.Locations = []sarifLocation{{at}}
		run.Results = append(run.Results, result)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(sarifLog{Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{run}})
}
