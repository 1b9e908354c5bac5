/* Model of rendezvous, takeover, close and stop: four connections, two codes, every schedule.
 *
 * `python -m proof` checks the model, and the faults that the macros of its #ifdef put into it. A
 * comment with a file and a name has the place of the modelled code in relay/. Code between two
 * checkpoints of trio is one atomic block. Time is left out: a timeout may expire at any moment. A
 * pair has the number of its side A. */
#define CODES 2
#define CONNECTIONS 4
#define NONE 15
#define RUNNING 0
#define DRAINING 1
#define STOPPING 2
#define STOPPED 3
#define IS_DEAD(c) (client[c] == DEAD)
#define SLOTS (open + arrived - CONNECTIONS)  /* limits/admission.py: AdmissionControl.slots */

byte table[CODES] = NONE            /* pairing/rendezvous.py: Rendezvous.find */
byte code[CONNECTIONS]
byte b[CONNECTIONS] = NONE          /* pairing/pair.py: Pair */
byte sides[CONNECTIONS]             /* number of sides that have joined the pair */
bool ended[CONNECTIONS]             /* pairing/pair.py: Pair.outcome */
bool over[CONNECTIONS]              /* pairing/pair.py: Pair.over */
bool alone[CONNECTIONS]             /* pairing/pair.py: Pair.alone; true once it is cancelled */
bool checked[CONNECTIONS]           /* pairing/pair.py: Pair.checked */
byte awaits[CONNECTIONS] = NONE     /* pair whose check the connection awaits */
byte pair[CONNECTIONS] = NONE       /* server/connection.py: Joined */
bool cancelled[CONNECTIONS]         /* pairing/side.py: Side.end */
mtype = { STAYS, LEAVES, DEAD }
mtype client[CONNECTIONS] = STAYS   /* answers for ever, leaves at any moment, or answers nothing */
byte arrived, open = CONNECTIONS
byte phase                          /* server/state.py: Phase */
bool close_listeners                /* server/state.py: RelayState.close_listeners */
bool late, patient                        /* no timeout expires after the stop has begun */

inline end(x) {                     /* pairing/pair.py: Pair.end */
  d_step {
    if                              /* pairing/rendezvous.py: Rendezvous.free */
#ifdef FREE_BY_CODE
    :: true -> table[code[x]] = NONE
#else
    :: table[code[x]] == x -> table[code[x]] = NONE
    :: else
#endif
    fi
    ended[x] = true
    cancelled[x] = true             /* pairing/side.py: Side.end */
    if :: b[x] != NONE -> cancelled[b[x]] = true :: else fi
    for (i in code) {               /* no code is lost: a pair that has not ended has its code */
      assert(pair[i] != i || ended[i] || table[code[i]] == i)
    }
    i = 0
  }
}

inline evict(x, y) {            /* server/takeover.py: evict_dead */
#ifdef EVICT_BY_CODE
  q = table[code[c]]
#else
  q = x
#endif
  assert(pair[y] == q)          /* no pair of two live sides is evicted */
  end(q)
}

inline deliver(x, y) {          /* pairing/pump.py: Pump.forward */
  if
  :: y != NONE -> assert(pair[y] == pair[x])       /* no message crosses pairs */
  :: else
  fi
}
#ifdef EVICT_BY_CODE
#define EVICTABLE (table[code[c]] != NONE)
#else
#define EVICTABLE !ended[p]
#endif
#ifdef JOIN_LATER
#define FREE_SIDE (p != NONE && b[p] == NONE || b[table[code[c]]] == NONE)
#else
#define FREE_SIDE b[table[code[c]]] == NONE
#endif
#ifdef FORWARD_BY_CODE
#define A_OF(p) table[code[p]]
#define B_OF(p) (table[code[p]] == NONE -> NONE : b[table[code[p]]])
#else
#define A_OF(p) p
#define B_OF(p) b[p]
#endif

proctype Connection(byte c) {
  byte p = NONE, q, i, pinged = NONE
  bool checks, taken
  atomic {                          /* server/connection.py: Connection._join */
    arrived == c -> arrived++       /* in the order of their numbers: the others are equivalent */
    if :: code[c] = 0 :: c > 0 -> code[c] = 1 fi
    if
    :: cancelled[c] -> assert(phase == STOPPED); goto done
    :: !cancelled[c] && phase != RUNNING && !close_listeners -> goto done
    :: else
    fi
check:                              /* server/takeover.py: evict_dead */
    p = table[code[c]]
    if                              /* pairing/alive_check.py: sides_to_check */
    :: p == NONE || b[p] == NONE -> goto join         /* no pair, or side A was heard just now */
    :: p != NONE && checked[p] -> awaits[c] = p
    :: p != NONE && !checked[p] -> checks = true; checked[p] = true; pinged = b[p]
    fi
  }
  atomic {                          /* pairing/alive_check.py: find_dead_side */
    checks || awaits[c] == NONE || cancelled[c]
    if
    :: checks ->
      checks = false
      checked[p] = false
      for (i in code) { if :: awaits[i] == p -> awaits[i] = NONE :: else fi }
    :: else -> awaits[c] = NONE; pinged = c           /* another connection has checked the pair */
    fi
    if
    :: cancelled[c] -> assert(phase == STOPPED); goto done
    :: !cancelled[c] && pinged != c && EVICTABLE && client[p] == DEAD -> evict(p, p)
    :: !cancelled[c] && pinged != c && EVICTABLE && pinged != NONE && client[pinged] == DEAD -> evict(p, pinged)
    :: !cancelled[c]                                  /* answered, or an end meanwhile */
    fi
    pinged = NONE; q = 0; i = 0
    if :: ended[p] -> goto check :: else fi
#ifdef JOIN_LATER
  }
  atomic {
#endif
join:                               /* pairing/rendezvous.py: Rendezvous.join */
    if
    :: table[code[c]] == NONE -> p = c; table[code[c]] = c
    :: table[code[c]] != NONE && FREE_SIDE -> p = table[code[c]]; b[p] = c
    :: else -> goto done
    fi
    pair[c] = p; sides[p]++
    if :: client[c] = LEAVES :: client[c] = DEAD :: skip fi
    assert(sides[p] <= 2)
#ifndef FORGET_LATE
    if :: phase >= STOPPING -> end(p) :: else fi      /* server/connection.py: Connection._serve_request */
#endif
  }
  atomic {
    if
    :: c == p && cancelled[c] -> goto finally         /* server/connection.py: Connection._run_pair */
    :: c == p && (client[c] == LEAVES || alone[c]) ->
      if :: b[p] == NONE -> goto finally :: else fi   /* pairing/early_data.py: EarlyData.receive */
      deliver(p, B_OF(p)); taken = true               /* pairing/pump.py: Pump.run */
    :: c != p && client[c] == LEAVES -> goto finally  /* pairing/side.py: Side.accept */
    :: c != p -> alone[p] = true                      /* server/connection.py: Connection._join_first */
    fi
  }
  atomic {                          /* pairing/pump.py: run_pair */
    if
    :: c != p && (over[p] || cancelled[c])
    :: c == p && (cancelled[c] || client[p] == LEAVES || client[b[p]] == LEAVES) ->
      deliver(p, B_OF(p)); deliver(b[p], A_OF(p))
    fi
finally:                            /* server/connection.py: Connection._serve_request */
    end(p)
    if
    :: c == p ->                    /* pairing/pair.py: Pair.finish */
#ifndef LOSE_EARLY_DATA
      if :: !taken && b[p] != NONE -> deliver(p, b[p]); taken = true :: else fi
#endif
      assert(taken || b[p] == NONE) /* the early data precedes the close frame of side B */
      over[p] = true
    :: else
    fi
  }
  atomic {                          /* pairing/side.py: Side.close */
    over[p]
    sides[p]--
    if :: !sides[p] -> b[p] = NONE; alone[p] = false; over[p] = false; code[p] = 0 :: else fi
done:                               /* server/state.py: RelayState.remove */
    open--; client[c] = STAYS; cancelled[c] = false; pair[c] = NONE; p = 0; i = 0; taken = false
  }
}

#define DUE(k) (table[k] != NONE && (b[table[k]] == NONE || IS_DEAD(table[k]) || IS_DEAD(b[table[k]])))
proctype Sweeper() {                /* pairing/sweeper.py: sweep */
  byte p, i
  do
  :: atomic { DUE(0) && (phase < STOPPING || !patient) -> p = table[0]; end(p) }
  :: atomic { DUE(1) && (phase < STOPPING || !patient) -> p = table[1]; end(p) }
  :: phase == STOPPED -> break
  od
}

inline end_pairs() {                /* server/shutdown.py: end_pairs */
  for (k : 0 .. CODES - 1) { if :: table[k] != NONE -> q = table[k]; end(q) :: else fi }
  q = 0; k = 0
}

#define WAITED(c) (!waiting[c] || over[c] || !sides[c])
proctype Stop() {
  byte i, k, q
  bool waiting[CONNECTIONS]
  if
  :: !late                          /* at any moment, or once nothing else can happen: then each */
  :: timeout ->                     /* code belongs to two sides that want to go on */
    for (k : 0 .. CODES - 1) {
      q = table[k]
      assert(q == NONE || b[q] != NONE && client[q] == STAYS && client[b[q]] == STAYS)
    }
  fi
  if :: patient = true :: skip fi
  if
  :: atomic {                       /* server/shutdown.py: stop_gracefully */
      if :: close_listeners = true :: skip fi
      phase = DRAINING
    }
    atomic {
      phase = STOPPING
#ifndef FORGET_WAITING
      for (k : 0 .. CODES - 1) {
        q = table[k]
        if :: q != NONE && b[q] == NONE -> waiting[q] = true; end(q) :: else fi
      }
#endif
    }
    WAITED(0) && WAITED(1) && WAITED(2) && WAITED(3) || !patient
    atomic { end_pairs() }
    !SLOTS && (!close_listeners || !open) || !patient
  :: skip                           /* server/serve.py: serve_relay, cancelled */
  fi
  atomic {                          /* server/shutdown.py: stop_at_once */
    phase = STOPPED
    end_pairs()
    for (k in cancelled) { cancelled[k] = true }
  }
  !open                             /* the stop terminates, and has told every side */
  for (k : 0 .. CODES - 1) { assert(table[k] == NONE) }
}

init {
  byte c
  atomic {
    for (c : 0 .. CONNECTIONS - 1) { run Connection(c) }
    if :: late = true :: skip fi
    run Sweeper(); run Stop()
  }
}
