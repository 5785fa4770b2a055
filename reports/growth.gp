# Figures over memory, both scales logarithmic. Data: blocks of "GiB ns", separated by two
# blank lines, each headed by its name; the first `solid` of them are kmm's, the others a
# bare driver's and dashed. Word i of `colours` is the line type of block i.
set terminal svg size 960,420 dynamic noenhanced font "sans-serif,12" background "#ffffff"
set output output
set logscale x 4
set linetype 1 lc "#4477aa"
set linetype 2 lc "#ee6677"
set linetype 3 lc "#228833"
set linetype 4 lc "#ccbb44"
set linetype 5 lc "#66ccee"
set linetype 6 lc "#aa3377"
set linetype 7 lc "#888888"
set linetype 8 lc "#222222"
set linetype 9 lc "#ee8866"
set logscale y
set xtics ("64 MiB" 0.0625, "256 MiB" 0.25, "1 GiB" 1, "4 GiB" 4, "16 GiB" 16, \
	"64 GiB" 64, "256 GiB" 256, "1 TiB" 1024)
set xrange [0.0442:1449]
set grid lc "#dddddd"
set border 3
set key outside right top vertical font ",10"
set xlabel "simulated memory"
set ylabel "ns (log)"
plot for [i=0:solid-1] data index i using 1:2 with linespoints lw 2 pt 7 ps 0.5 \
	lc word(colours, i+1)+0 \
	title columnhead(1), \
	for [i=solid:blocks-1] data index i using 1:2 with linespoints lw 1 dt 2 pt 6 ps 0.5 \
	lc word(colours, i+1)+0 title columnhead(1)
