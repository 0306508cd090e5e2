-- Tables, strings, closures, coroutines, finalizers and weak tables, under the collector named by the argument.
collectgarbage(arg[1])

local state = 7
local function random(n) state = (state * 1103515245 + 12345) % 2147483648; return (state >> 16) % n end
local function word()
  local letters = {}
  for i = 1, 1 + random(20) do letters[i] = string.char(97 + random(8)) end
  return table.concat(letters)
end
local function checksum(text)
  local sum = 0
  for i = 1, #text do sum = (sum * 31 + text:byte(i)) % 4294967291 end
  return sum
end

local function counts()
  local count, order = {}, {}
  for _ = 1, 60000 do
    local w = word()
    if not count[w] then order[#order + 1] = w end
    count[w] = (count[w] or 0) + 1
  end
  table.sort(order)
  for i, w in ipairs(order) do order[i] = w .. "=" .. count[w] end
  local text = table.concat(order, ",")
  print("counts", #order, #text, checksum(text))
  local rewritten, n = text:gsub("(%w)(%w*)=(%d+)", "%2%1:%3")
  print("gsub", n, checksum(rewritten), #text:rep(20))
end

local function tree(depth)
  if depth == 0 then return {value = random(100)} end
  return {value = random(100), left = tree(depth - 1), right = tree(depth - 1)}
end
local function total(t) return t and t.value + total(t.left) + total(t.right) or 0 end

local function trees()
  local long_lived = tree(15)
  local sum = 0
  for depth = 4, 14 do
    for _ = 1, 1 << (14 - depth) do sum = sum + total(tree(depth)) end
  end
  print("trees", sum, total(long_lived))
end

local function coroutines()
  local sum, threads = 0, {}
  for i = 1, 3000 do
    threads[i] = coroutine.wrap(function(a)
      for k = 1, 10 do a = a + coroutine.yield(("x"):rep(k):len() * i) end
      return a
    end)
  end
  for step = 1, 10 do
    for _, resume in ipairs(threads) do sum = sum + resume(step) end
  end
  print("coroutines", sum)
end

local function finalizers()
  local finalized, weak = 0, setmetatable({}, {__mode = "k"})
  for i = 1, 50000 do
    local object = setmetatable({i, tostring(i)}, {__gc = function() finalized = finalized + 1 end})
    weak[object] = {("w"):rep(i % 100)}
  end
  collectgarbage() collectgarbage()
  local left = 0
  for _ in pairs(weak) do left = left + 1 end
  print("finalizers", finalized, left)
end

local function growing()
  local list = {}
  for i = 1, 1000000 do list[i] = i end
  for i = #list, 1, -1 do if i % 3 ~= 0 then table.remove(list) end end
  local sum = 0
  for _, v in ipairs(list) do sum = sum + v end
  local text = ""
  for i = 1, 8000 do text = text .. i end
  print("growing", #list, sum, #text, checksum(text), select("#", table.unpack(list, 1, 5000)))
end

for _ = 1, 2 do counts() trees() coroutines() finalizers() growing() end
