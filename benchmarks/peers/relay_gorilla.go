// A relay on gorilla/websocket: relay_gorilla PORT IMPL_TOKEN BOT_TOKEN
package main

import (
	"encoding/json"
	"log"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/gorilla/websocket"
)

const lifecycle = `{"time":1760000000,"self_id":10001,"post_type":"meta_event","meta_event_type":"lifecycle","sub_type":"connect"}`

// One connection: a goroutine reads, a goroutine writes what is put into `out` (gorilla's own advice).
type peer struct {
	conn *websocket.Conn
	out  chan *websocket.PreparedMessage
	gone chan struct{}
	once sync.Once
}

type call struct {
	bot  *peer
	echo json.RawMessage
}

// What the implementation sends, read once: of an event what routing needs, of an answer everything.
type frame struct {
	PostType string          `json:"post_type,omitempty"`
	SelfID   int64           `json:"self_id,omitempty"`
	Status   json.RawMessage `json:"status,omitempty"`
	Retcode  json.RawMessage `json:"retcode,omitempty"`
	Data     json.RawMessage `json:"data,omitempty"`
	Message  json.RawMessage `json:"message,omitempty"`
	Wording  json.RawMessage `json:"wording,omitempty"`
	Echo     json.RawMessage `json:"echo,omitempty"`
}

type action struct {
	Action json.RawMessage `json:"action"`
	Params json.RawMessage `json:"params,omitempty"`
	Echo   json.RawMessage `json:"echo,omitempty"`
}

var (
	upgrader = websocket.Upgrader{EnableCompression: false, CheckOrigin: func(*http.Request) bool { return true }}
	lock     sync.Mutex
	impl     *peer
	bots     = map[*peer]struct{}{}
	calls    = map[int64]call{}
	last     int64
)

func newPeer(conn *websocket.Conn, waiting int) *peer {
	p := &peer{conn: conn, out: make(chan *websocket.PreparedMessage, waiting), gone: make(chan struct{})}
	go p.write()
	return p
}

func (p *peer) write() {
	for {
		select {
		case message := <-p.out:
			if p.conn.WritePreparedMessage(message) != nil {
				p.end()
				return
			}
		case <-p.gone:
			return
		}
	}
}

func (p *peer) end() {
	p.once.Do(func() {
		close(p.gone)
		p.conn.Close()
	})
}

// Responses and actions wait for room.
func (p *peer) say(text []byte) {
	message, err := websocket.NewPreparedMessage(websocket.TextMessage, text)
	if err != nil {
		return
	}
	select {
	case p.out <- message:
	case <-p.gone:
	}
}

func fromImpl(text []byte) {
	var h frame
	if json.Unmarshal(text, &h) != nil {
		return
	}
	if h.Echo == nil {
		if h.PostType == "" || h.PostType == "meta_event" || h.SelfID != 10001 {
			return
		}
		message, err := websocket.NewPreparedMessage(websocket.TextMessage, text)
		if err != nil {
			return
		}
		lock.Lock()
		for bot := range bots {
			select {
			case bot.out <- message:
			default: // a reader that is too slow goes, as in gorilla's chat example
				delete(bots, bot)
				bot.end()
			}
		}
		lock.Unlock()
		return
	}
	id, err := strconv.ParseInt(string(h.Echo), 10, 64)
	if err != nil {
		return
	}
	lock.Lock()
	asked, known := calls[id]
	delete(calls, id)
	lock.Unlock()
	if !known {
		return
	}
	h.Echo = asked.echo
	if text, err = json.Marshal(&h); err == nil {
		asked.bot.say(text)
	}
}

func fromBot(bot *peer, text []byte) {
	var asked action
	if json.Unmarshal(text, &asked) != nil {
		return
	}
	id := atomic.AddInt64(&last, 1)
	lock.Lock()
	to := impl
	calls[id] = call{bot, asked.Echo}
	lock.Unlock()
	if to == nil {
		return
	}
	asked.Echo = strconv.AppendInt(nil, id, 10)
	if text, err := json.Marshal(&asked); err == nil {
		to.say(text)
	}
}

func serve(w http.ResponseWriter, r *http.Request) {
	isImpl := r.URL.Path == "/onebot/v11/ws"
	token := os.Args[3]
	if isImpl {
		token = os.Args[2]
	}
	if r.Header.Get("Authorization") != "Bearer "+token {
		http.Error(w, "the token is wrong", http.StatusForbidden)
		return
	}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	p := newPeer(conn, 1024)
	defer p.end()
	if isImpl {
		lock.Lock()
		impl = p
		lock.Unlock()
	} else {
		p.say([]byte(lifecycle))
		lock.Lock()
		bots[p] = struct{}{}
		lock.Unlock()
		defer func() {
			lock.Lock()
			delete(bots, p)
			lock.Unlock()
		}()
	}
	for {
		_, text, err := conn.ReadMessage()
		if err != nil {
			return
		}
		if isImpl {
			fromImpl(text)
		} else {
			fromBot(p, text)
		}
	}
}

func main() {
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], http.HandlerFunc(serve)))
}
