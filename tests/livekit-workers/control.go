package main

import (
	"encoding/json"
	"errors"
	"net/http"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// control is the HTTP API by which a test scripts the workers.
type control struct {
	calls     *callLog
	egresses  *egressWorker
	ingresses *ingressWorker
}

func (c control) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /calls", c.listCalls)
	mux.HandleFunc("PUT /scripts/egress", c.scriptEgresses)
	mux.HandleFunc("PUT /scripts/ingress", c.scriptIngresses)
	mux.HandleFunc("GET /egresses/{id}", c.showEgress)
	mux.HandleFunc("PUT /egresses/{id}/script", c.scriptEgress)
	mux.HandleFunc("POST /egresses/{id}/reports", c.reportEgress)
	mux.HandleFunc("DELETE /egresses/{id}/recorder", c.removeRecorder)
	mux.HandleFunc("POST /pushes/{key}", c.startPush)
	mux.HandleFunc("DELETE /pushes/{key}", c.endPush)
	mux.HandleFunc("POST /on_publish", c.onPublish)
	mux.HandleFunc("POST /on_publish_done", c.onPublishDone)
	mux.HandleFunc("GET /ingresses/{id}", c.showIngress)
	mux.HandleFunc("POST /ingresses/{id}/reports", c.reportIngress)
	mux.HandleFunc("DELETE /ingresses/{id}/participant", c.removeParticipant)
	return mux
}

func (c control) listCalls(w http.ResponseWriter, r *http.Request) {
	answer(w, c.calls.list(r.FormValue("method"), r.FormValue("id")), nil)
}

func (c control) scriptEgresses(w http.ResponseWriter, r *http.Request) {
	script := defaultEgressScript()
	err := decode(r, &script)
	if err == nil {
		c.egresses.script.set(script)
	}
	answer(w, nil, err)
}

func (c control) scriptIngresses(w http.ResponseWriter, r *http.Request) {
	script := defaultIngressScript()
	err := decode(r, &script)
	if err == nil {
		c.ingresses.script.set(script)
	}
	answer(w, nil, err)
}

func (c control) showEgress(w http.ResponseWriter, r *http.Request) {
	if e := c.egresses.find(r.PathValue("id")); e != nil {
		answerMessage(w, e.snapshot())
	} else {
		http.NotFound(w, r)
	}
}

func (c control) scriptEgress(w http.ResponseWriter, r *http.Request) {
	e := c.egresses.find(r.PathValue("id"))
	if e == nil {
		http.NotFound(w, r)
		return
	}
	script := defaultEgressScript()
	err := decode(r, &script)
	if err == nil {
		e.script.set(script)
	}
	answer(w, nil, err)
}

func (c control) reportEgress(w http.ResponseWriter, r *http.Request) {
	if e := c.egresses.find(r.PathValue("id")); e != nil {
		reportAll(w, r, e.report)
	} else {
		http.NotFound(w, r)
	}
}

func (c control) removeRecorder(w http.ResponseWriter, r *http.Request) {
	if e := c.egresses.find(r.PathValue("id")); e != nil {
		e.leave()
	} else {
		http.NotFound(w, r)
	}
}

func (c control) startPush(w http.ResponseWriter, r *http.Request) {
	c.push(w, r, r.PathValue("key"))
}

// onPublish is the callback of nginx-rtmp, which refuses the push unless the status is 2xx.
func (c control) onPublish(w http.ResponseWriter, r *http.Request) {
	c.push(w, r, r.FormValue("name"))
}

// onPublishDone is the callback of nginx-rtmp after a push.
func (c control) onPublishDone(_ http.ResponseWriter, r *http.Request) {
	if i := c.ingresses.findByKey(r.FormValue("name")); i != nil {
		i.end()
	}
}

func (c control) push(w http.ResponseWriter, r *http.Request, key string) {
	i, err := c.ingresses.push(r.Context(), key)
	switch {
	case errors.Is(err, errPushRefused):
		http.Error(w, err.Error(), http.StatusForbidden)
	case errors.Is(err, errPushExists):
		http.Error(w, err.Error(), http.StatusConflict)
	case err != nil:
		answer(w, nil, err)
	default:
		answer(w, map[string]string{"ingressId": i.id}, nil)
	}
}

func (c control) endPush(w http.ResponseWriter, r *http.Request) {
	if i := c.ingresses.findByKey(r.PathValue("key")); i != nil {
		i.end()
	} else {
		http.NotFound(w, r)
	}
}

func (c control) showIngress(w http.ResponseWriter, r *http.Request) {
	if i := c.ingresses.find(r.PathValue("id")); i != nil {
		answerMessage(w, i.snapshot())
	} else {
		http.NotFound(w, r)
	}
}

func (c control) reportIngress(w http.ResponseWriter, r *http.Request) {
	if i := c.ingresses.find(r.PathValue("id")); i != nil {
		reportAll(w, r, i.report)
	} else {
		http.NotFound(w, r)
	}
}

func (c control) removeParticipant(w http.ResponseWriter, r *http.Request) {
	if i := c.ingresses.find(r.PathValue("id")); i != nil {
		i.leave()
	} else {
		http.NotFound(w, r)
	}
}

// reportAll sends the reports of the body in their order.
func reportAll(w http.ResponseWriter, r *http.Request, send func(report) error) {
	var reports []report
	err := decode(r, &reports)
	for _, one := range reports {
		err = errors.Join(err, send(one))
	}
	answer(w, nil, err)
}

// decode refuses unknown fields, so that a misspelt script fails its test.
func decode(r *http.Request, into any) error {
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}

func answer(w http.ResponseWriter, body any, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	} else if body != nil {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(body)
	}
}

func answerMessage(w http.ResponseWriter, message proto.Message) {
	body, err := protojson.Marshal(message)
	answer(w, json.RawMessage(body), err)
}
