-- The life cycle of jobs: each change to a job is one atomic run of this script.
--
-- KEYS[1]  the stream of job ids, "{tag}:jobs"; all other keys share its hash tag:
--   {tag}:queued           sorted set of waiting ids, by time of submission
--   {tag}:queued:<kind>    the same for jobs with the field `kind`, such as films
--   {tag}:job:<id>         hash; its field `fence` counts claims
--   {tag}:job:<id>:in      its input               {tag}:job:<id>:ckpt  its saved state
--   {tag}:job:<id>:out     its result              {tag}:job:<id>:ev    stream of events
--   {tag}:job:<id>:photo   its photo, if it is to be kept; stored before the job is submitted, with
--                          a short time to live that ends when the job is queued
--   {tag}:owner:<owner>    sorted set of an owner's ids, by time of submission
--   {tag}:photos:<owner>   sorted set of the ids whose photos are kept, by time of submission
--   {tag}:idem:<owner>:<k> hash: the job of an idempotency key
-- ARGV     the operation's name, then its arguments.
--
-- A worker owns a job while two things hold: the stream's pending entry is in its name, and `fence`
-- is the number that its claim was given. Every write checks both, because a stale worker's XCLAIM
-- would steal the entry back and its XACK would be obeyed.
-- A delivery counts towards the crash cap until the worker finishes or hands the job back, or until
-- more of the job has been saved than ever: the job's field `saved` counts steps, or parts of a film.
-- A waiting entry is never deleted from the stream, which would lose the group's lag: a cancelled
-- job's entry stays until a worker skips it.
-- A worker says which films it takes: `no`, `last` (not while jobs of no kind wait) or `yes`. One that
-- it does not take is handed back, for any worker to take.

local STREAM = KEYS[1]
local ROOT = string.sub(STREAM, 1, -5)
local GROUP = 'refine'
local QUEUED = ROOT .. 'queued'
local MAX_EVENTS = 1000
local MAX_LISTED = 1000
local HANDED_BACK_MS = 1000000000
local TERMINAL = {succeeded = true, failed = true, cancelled = true}
local MAX_SILENT = 100
local SHOWN = {'state', 'step', 'steps', 'phase', 'loss', 'psnr', 'lpips', 'identity_similarity',
  'eta_s', 'error_type', 'kind', 'done', 'total'}

local function key(id)
  return ROOT .. 'job:' .. id
end

local function now()
  local time = redis.call('TIME')
  return string.format('%d.%06d', time[1], time[2])
end

local function open_group()
  redis.pcall('XGROUP', 'CREATE', STREAM, GROUP, '0', 'MKSTREAM')
end

-- The sorted set in which a job of a kind waits.
local function waiting_of(kind)
  return kind and kind ~= '' and QUEUED .. ':' .. kind or QUEUED
end

local function queue_of(id)
  return waiting_of(redis.call('HGET', key(id), 'kind'))
end

-- Whether a worker that takes films so leaves this job to others, or for later.
local function is_left(id, films)
  if films == 'yes' or redis.call('HGET', key(id), 'kind') ~= 'film' then
    return false
  end
  return films == 'no' or redis.call('ZCARD', QUEUED) > 0
end

-- Publish the job's state to its watchers.
local function emit(id)
  local values = redis.call('HMGET', key(id), unpack(SHOWN))
  local fields = {}
  for i, name in ipairs(SHOWN) do
    if values[i] then
      fields[#fields + 1] = name
      fields[#fields + 1] = values[i]
    end
  end
  redis.call('XADD', key(id) .. ':ev', 'MAXLEN', '~', MAX_EVENTS, '*', unpack(fields))
end

local function forget(entry)
  redis.call('XACK', STREAM, GROUP, entry)
  redis.call('XDEL', STREAM, entry)
end

local function drop_photo(id, owner)
  redis.call('DEL', key(id) .. ':photo')
  redis.call('ZREM', ROOT .. 'photos:' .. owner, id)
end

-- Keep the photo of a new job, if it has one, and drop its owner's oldest ones beyond the limit.
local function keep_photo(id, owner, created, max_photos)
  if redis.call('PERSIST', key(id) .. ':photo') == 0 then
    return
  end
  local photos = ROOT .. 'photos:' .. owner
  for _, old in ipairs(redis.call('ZRANGE', photos, 0, -1)) do
    if redis.call('EXISTS', key(old) .. ':photo') == 0 then  -- it has expired with its job
      redis.call('ZREM', photos, old)
    end
  end
  redis.call('ZADD', photos, created, id)
  for _, old in ipairs(redis.call('ZRANGE', photos, 0, -1 - max_photos)) do
    drop_photo(old, owner)
  end
end

-- End a job: delete its input; keep its result, and the photo that the result goes into, for a
-- while. Without a result the photo is deleted too.
local function close(id, state, out)
  local job = key(id)
  redis.call('HSET', job, 'state', state, 'finished', now())
  redis.call('HINCRBY', job, 'fence', 1)
  redis.call('HDEL', job, 'eta_s')
  redis.call('ZREM', queue_of(id), id)
  redis.call('DEL', job .. ':in')
  if out ~= '' then
    redis.call('SET', job .. ':out', out)
    redis.call('DEL', job .. ':ckpt')
  elseif redis.call('EXISTS', job .. ':ckpt') == 1 then
    redis.call('RENAME', job .. ':ckpt', job .. ':out')
  else
    drop_photo(id, redis.call('HGET', job, 'owner'))
  end
  emit(id)
  local kept = redis.call('HMGET', job, 'ttl_s', 'idem')
  for _, name in ipairs({job, job .. ':out', job .. ':ev', job .. ':photo', kept[2] or ''}) do
    redis.call('EXPIRE', name, kept[1])
  end
end

-- The entry of a job and its delivery count, if the worker still owns it; else nil.
local function owned(id, fence, worker)
  local job = redis.call('HMGET', key(id), 'fence', 'entry')
  if job[1] ~= fence then
    return nil
  end
  local pending = redis.call('XPENDING', STREAM, GROUP, job[2], job[2], 1)
  if #pending == 0 or pending[1][2] ~= worker then
    return nil
  end
  return job[2], pending[1][4]
end

-- -> whether more has been saved than ever
local function write(id, ckpt, fields)
  local before = tonumber(redis.call('HGET', key(id), 'saved')) or 0
  redis.call('HSET', key(id), 'heartbeat', now(), unpack(fields))
  if ckpt ~= '' then
    redis.call('SET', key(id) .. ':ckpt', ckpt)
  end
  local after = tonumber(redis.call('HGET', key(id), 'saved')) or 0
  if after < before then  -- it starts over, with other weights
    redis.call('HSET', key(id), 'saved', before)
  end
  return after > before
end

-- Remove a silent worker's name from the group, unless it holds another job.
local function dismiss(consumer, worker)
  if consumer ~= worker and #redis.call('XPENDING', STREAM, GROUP, '-', '+', 1, consumer) == 0 then
    redis.call('XGROUP', 'DELCONSUMER', STREAM, GROUP, consumer)
  end
end

local operations = {}

-- A photo stored under the id is kept if the job is new, and otherwise deleted.
-- -> {'new', id} | {'replay', id} | {'mismatch', id} | {'full', number waiting}
function operations.submit(id, owner, kind, max_queued, max_photos, ttl_s, idem, fingerprint, input,
    ...)
  if redis.call('EXISTS', key(id)) == 1 then  -- resent by a client that missed the answer
    return {'new', id}
  end
  local idem_key = idem ~= '' and ROOT .. 'idem:' .. owner .. ':' .. idem or ''
  if idem_key ~= '' then
    local known = redis.call('HMGET', idem_key, 'job', 'fingerprint')
    if known[1] then
      drop_photo(id, owner)
      return {known[2] == fingerprint and 'replay' or 'mismatch', known[1]}
    end
  end
  local queue = waiting_of(kind)
  local waiting = redis.call('ZCARD', queue)
  if waiting >= tonumber(max_queued) then
    drop_photo(id, owner)
    return {'full', waiting}
  end
  open_group()
  local created, entry = now(), redis.call('XADD', STREAM, '*', 'job', id)
  redis.call('HSET', key(id), 'state', 'queued', 'owner', owner, 'created', created, 'entry', entry,
    'fence', 0, 'attempts', 0, 'step', 0, 'ttl_s', ttl_s, ...)
  if kind ~= '' then
    redis.call('HSET', key(id), 'kind', kind)
  end
  if input ~= '' then
    redis.call('SET', key(id) .. ':in', input)
  end
  redis.call('ZADD', queue, created, id)
  redis.call('ZADD', ROOT .. 'owner:' .. owner, created, id)
  redis.call('ZREMRANGEBYRANK', ROOT .. 'owner:' .. owner, 0, -MAX_LISTED - 1)
  if idem_key ~= '' then
    redis.call('HSET', key(id), 'idem', idem_key)
    redis.call('HSET', idem_key, 'job', id, 'fingerprint', fingerprint)
    redis.call('EXPIRE', idem_key, ttl_s)
  end
  keep_photo(id, owner, created, max_photos)
  emit(id)
  return {'new', id}
end

-- Cancel a job; delete the photo of one that has ended.
-- -> the state afterwards, or nil if the owner has no such job
function operations.cancel(id, owner)
  local job = redis.call('HMGET', key(id), 'owner', 'state')
  if job[1] ~= owner then
    return nil
  end
  if job[2] == 'queued' then
    close(id, 'cancelled', '')
    return 'cancelled'
  end
  if job[2] == 'running' then
    redis.call('HSET', key(id), 'state', 'cancelling')
    emit(id)
    return 'cancelling'
  end
  if TERMINAL[job[2]] then
    drop_photo(id, owner)
  end
  return job[2]
end

-- -> {fence, the job's fields and values}, or nil if there is nothing to do
function operations.claim(id, entry, worker, films)
  local job = key(id)
  local state = redis.call('HGET', job, 'state')
  if state == 'cancelling' then
    close(id, 'cancelled', '')
  end
  if not state or state == 'cancelling' or TERMINAL[state] then
    forget(entry)
    return nil
  end
  if is_left(id, films) then
    redis.call('XCLAIM', STREAM, GROUP, worker, 0, entry, 'IDLE', HANDED_BACK_MS,
      'RETRYCOUNT', 0, 'JUSTID')
    return nil
  end
  local fence = redis.call('HINCRBY', job, 'fence', 1)
  redis.call('HINCRBY', job, 'attempts', 1)
  redis.call('HSETNX', job, 'started', now())
  redis.call('HSET', job, 'state', 'running', 'worker', worker, 'heartbeat', now())
  redis.call('ZREM', queue_of(id), id)
  emit(id)
  return {fence, redis.call('HGETALL', job)}
end

-- -> 'go' | 'cancel' | 'fenced'
function operations.beat(id, fence, worker, ckpt, ...)
  local entry = owned(id, fence, worker)
  if not entry then
    return 'fenced'
  end
  local got_further = write(id, ckpt, {...})
  local count = got_further and {'RETRYCOUNT', 1} or {}  -- forgets earlier crashes
  redis.call('XCLAIM', STREAM, GROUP, worker, 0, entry, 'JUSTID', unpack(count))
  emit(id)
  return redis.call('HGET', key(id), 'state') == 'cancelling' and 'cancel' or 'go'
end

-- -> 'done' | 'fenced'
function operations.finish(id, fence, worker, state, out, ...)
  local entry = owned(id, fence, worker)
  if not entry then
    return 'fenced'
  end
  write(id, '', {...})
  close(id, state, out)
  forget(entry)
  return 'done'
end

-- Hand a job back: any worker may take it at once, and the delivery does not count as a crash.
-- -> 'done' | 'fenced'
function operations.release(id, fence, worker, ckpt, ...)
  local entry, deliveries = owned(id, fence, worker)
  if not entry then
    return 'fenced'
  end
  local crashes = write(id, ckpt, {...}) and 0 or deliveries - 1
  redis.call('XCLAIM', STREAM, GROUP, worker, 0, entry, 'IDLE', HANDED_BACK_MS,
    'RETRYCOUNT', crashes, 'JUSTID')
  if redis.call('HGET', key(id), 'state') == 'cancelling' then
    close(id, 'cancelled', '')
    forget(entry)
    return 'done'
  end
  redis.call('HINCRBY', key(id), 'fence', 1)
  redis.call('HSET', key(id), 'state', 'queued')
  redis.call('ZADD', queue_of(id), redis.call('HGET', key(id), 'created'), id)
  emit(id)
  return 'done'
end

-- Take over a job whose worker has been silent for a lease; fail one that has crashed too many
-- workers. -> {entry, id, number of jobs failed}, the first two empty if there is none
function operations.reap(worker, lease_ms, cap, films)
  open_group()
  local failed = 0
  local pending, from = {}, '-'
  repeat
    pending = redis.call('XPENDING', STREAM, GROUP, 'IDLE', lease_ms, from, '+', MAX_SILENT)
    from = pending[1] and '(' .. pending[#pending][1]
    for _, silent in ipairs(pending) do
      local entry, deliveries = silent[1], silent[4]
      local row = redis.call('XRANGE', STREAM, entry, entry)[1]
      local id = row and row[2][2]
      local state = id and redis.call('HGET', key(id), 'state')
      if not state or TERMINAL[state] then
        forget(entry)
        dismiss(silent[2], worker)
      elseif deliveries >= tonumber(cap) then
        redis.call('HSET', key(id), 'error_type', 'crash-loop', 'error',
          'The job crashed ' .. deliveries .. ' workers in a row without getting further.')
        close(id, 'failed', '')
        forget(entry)
        dismiss(silent[2], worker)
        failed = failed + 1
      elseif not is_left(id, films) then
        redis.call('XCLAIM', STREAM, GROUP, worker, lease_ms, entry)
        dismiss(silent[2], worker)
        return {entry, id, failed}
      end
    end
  until #pending < MAX_SILENT  -- films that are left to others may come first
  return {'', '', failed}
end

return operations[ARGV[1]](unpack(ARGV, 2))
