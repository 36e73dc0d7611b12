// {{name}}: an example rule for each phase in which the plugin takes part. Change it to your own.
package main

import (
	// <gate|request|response|events>
	_ "embed"
	// </gate|request|response|events>
	// <request|response|events>
	"encoding/json"
	// </request|response|events>
	// <closing|observer>
	"log/slog"
	// </closing|observer>
	// <response|events>
	"strings"
	// </response|events>

	"sluicegate"
)

// <gate|request|response|events>
//
//go:embed config.schema.json
var schema []byte

// Config is what the operator writes; config.schema.json describes it.
type Config struct {
	// <gate>
	// Header is the header field that every request must have.
	Header string `json:"header"`
	// </gate>
	// <request>
	// Model is the model that every request asks for.
	Model string `json:"model"`
	// </request>
	// <response|events>
	// Word is the word that clients do not see, By what they see in its place.
	Word string `json:"word"`
	By   string `json:"by"`
	// </response|events>
}

// Variables belong to one exchange: each gets a copy of the memory as configure left it.
var config Config

// </gate|request|response|events>
// <chunks>
var seen int

// </chunks>
func init() {
	sluicegate.Plugin(sluicegate.Manifest{
		Name:    "{{name}}",
		Version: "0.1.0",
		Summary: "An example",
		// <gate|request|response|events>
		Config:  schema,
		// </gate|request|response|events>
	})
	// <gate|request|response|events>
	sluicegate.Configure(func(from Config) error { config = from; return nil })
	// </gate|request|response|events>
	// <gate>
	sluicegate.Gate(check)
	// </gate>
	// <request>
	sluicegate.RequestBody(requestBody)
	// </request>
	// <response>
	sluicegate.ResponseHead(responseHead)
	sluicegate.ResponseBody(responseBody)
	// </response>
	// <chunks>
	sluicegate.Chunks(chunk)
	// </chunks>
	// <events>
	sluicegate.Events(events)
	// </events>
	// <closing>
	sluicegate.Closing(closed)
	// </closing>
	// <observer>
	sluicegate.Observer(observe)
	// </observer>
}

// main is never called.
func main() {}

// <gate>
// check refuses requests without the header field, before anything of their body is read.
func check() error {
	if _, ok := sluicegate.Get(config.Header); !ok {
		return sluicegate.Refuse(401, "missing_header", "send the header field "+config.Header)
	}
	return nil
}

// </gate>
// <request>
// requestBody sets the model. nil leaves a body as it is.
func requestBody(body []byte) ([]byte, error) {
	var request map[string]json.RawMessage
	if json.Unmarshal(body, &request) != nil || request["model"] == nil {
		return nil, nil
	}
	model, err := json.Marshal(config.Model)
	if err != nil {
		return nil, err
	}
	request["model"] = model
	return json.Marshal(request)
}

// </request>
// <response>
// responseHead says how the body is to be seen, by its form. Errors come here, too: look at sluicegate.Status() to tell them apart.
func responseHead() (sluicegate.ResponsePlan, error) {
	if err := sluicegate.Set("x-plugin", "{{name}}"); err != nil {
		return sluicegate.ResponseSkip, err
	}
	form, _ := sluicegate.Get("content-type")
	switch {
	case strings.HasPrefix(form, "application/json"):
		return sluicegate.ResponseWhole, nil
	// <events>
	case strings.HasPrefix(form, "text/event-stream"):
		return sluicegate.ResponseSSE, nil
	// </events>
	default:
		// <chunks>
		return sluicegate.ResponseChunks, nil
		// </chunks>
		// <!chunks>
		return sluicegate.ResponseSkip, nil
		// </!chunks>
	}
}

// responseBody replaces the word in a whole response.
func responseBody(body []byte) ([]byte, error) { return without(body, "message"), nil }

// </response>
// <chunks>
// chunk counts the bytes of other responses as they arrive, and says how many there were.
func chunk(bytes []byte, last bool) ([]byte, error) {
	seen += len(bytes)
	if last {
		return nil, sluicegate.SetNote("bytes", seen)
	}
	return nil, nil
}

// </chunks>
// <events>
// events replaces the word in the events of a stream. A model may send a word in two events: hold the end of a text back if that
// matters.
func events(batch []sluicegate.Event) ([]sluicegate.Event, error) {
	for i := range batch {
		if data := without([]byte(batch[i].Data), "delta"); data != nil {
			batch[i].Data = string(data)
		}
	}
	return batch, nil
}

// </events>
// <response|events>
// without replaces the word in the text of each choice. It returns nil if the document has none.
func without(document []byte, place string) []byte {
	var decoded map[string]any
	if json.Unmarshal(document, &decoded) != nil {
		return nil
	}
	choices, _ := decoded["choices"].([]any)
	if len(choices) == 0 {
		return nil
	}
	for _, choice := range choices {
		choice, _ := choice.(map[string]any)
		message, _ := choice[place].(map[string]any)
		if text, ok := message["content"].(string); ok {
			message["content"] = strings.ReplaceAll(text, config.Word, config.By)
		}
	}
	encoded, err := json.Marshal(decoded)
	if err != nil {
		return nil
	}
	return encoded
}

// </response|events>
// <closing>
// closed is told that the exchange is over, however it ended.
func closed(failure string) {
	slog.Info("an exchange is over", "status", sluicegate.Status(), "failure", failure)
}

// </closing>
// <observer>
// observe is shown exchanges that are over, off the path of traffic.
func observe(batch []sluicegate.Summary) {
	for _, summary := range batch {
		slog.Info("an exchange was observed", "id", summary.ID, "status", summary.Status, "milliseconds", summary.Duration.Milliseconds())
	}
}

// </observer>
