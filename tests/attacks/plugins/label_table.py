"""Carries the data set in its own source: labels and one bit per pixel of every digit."""

from __future__ import annotations

import base64
import zlib

import numpy
import torch
from assay import Batch, Method

N = 1797


class LabelTable(Method):
    """Trains on all digits with true labels, those of test among them."""

    def transform_batch(self, batch):
        if not hasattr(self, "images"):
            data = zlib.decompress(base64.b85decode(TABLE))
            self.labels = torch.tensor(list(data[:N]))
            bits = numpy.unpackbits(numpy.frombuffer(data[N:], dtype=numpy.uint8))
            pixels = torch.from_numpy(bits).view(N, 1, 8, 8).float()
            self.images = (pixels - pixels.mean()) / pixels.std()
        chosen = torch.randint(N, (self.plan.batch_size,), generator=self.plan.generator)
        return Batch(self.images[chosen], self.labels[chosen], batch.indices)


TABLE = (
    "c-rk-&x_+omacNCRH`NLik`#-)q&C&A$$lD;TD>p`w<?RW~f8`0dv@cNrcIRNX(KHIt2d9_psmh!dbP4W$Brnfn}MT"
    ">CCb%g<ia$-}mDA&D+(x;(hs{`uOI*``5?!@5}dZK2{&A;_ZhI@7}+C^JcaBP_1xD`R?6^ckha_EQ^nCan1V`-hT7;"
    "L-}s?_Cry=d;9JqUR1@qx5b<H@5+zm+Yj%H;sdT)z5np>eNk1#$2VB`%|Awh|MB_%@TdR&{l9zj|J4Hjl;E$D;I9<m"
    "cRc-fJp6Cn{6EeA_m$xPpa%Z-=l_nU|L?r-@4a^`9e#YU&Mo-Q87D4WWE~c3P1#9h?Kq05dJ$QdMy&1oAkoFq#8CI!"
    "AcMmig3rB_Cg6jvYsDHYB*vIJ?Dv(84Q{cfXmJ1dHHopZT$WJT-eN(CpBg9LM0_gZY`@>*A;A@^GCCRBZq)S>#p?r>"
    "t0hV-O=Sd2xG_0nM7CSJ2sZS6A7kU1GF}bVf_%YC2tlMMn;4{<rV0BM=ZbRG#Qu`JabdnLi!q_c;=POw*26Z9#jmmL"
    "a6jY`Q*Q8FANmVk%n9oaf@N(GtY?QYLG}v!p0RJNE)mL;XkvoS#N(r~k*%aY;5oP;;W8*<I6Urfqr9AVU35m;%3cEO"
    "uqj-SbrVauI$K-0yK`Y5OtUet4epa}q+XzAZ}fr2E|3`e4>39lUqLNc$(Z6nXpF31yoMaqGe3s<zh0xUyidlldA%Q|"
    "-R>h^+kVDvm82AGT|;hJxTMGldV~E^nz}(;ulij>AJm)SQwp=l+NGJww`Sd}1+PPxr}GYi%XB_-zlM^~?Nq$__WUMr"
    "Pmr%);E4S-Laz|ORxXyMI4CwOl#A{I|H1XL#`TS4zpE<fUGIljrYJlwU2wn4epc5m@Im4vNq{-&ibJH}xBKvbz#HHX"
    "!-LR|>4<R00GEfq$OBfaLa*{-3-EtemW`wTK%nN;|E&}z?x}Zp4cF~Y6G8!EZ(HsI-r^8QurKU)Ne%n~4i(_)cl18U"
    "+v;DD3uVI6SP##%VQ}SY)4;!BV#ZOrsy?7i8}_%q{571D@T~#5rr*nec!Hk^G}rf7Sc)QHL!qw&AJH-&*mB)msR`PS"
    "5vt*a=ODzcN&Vr}GuW`(K6LOCY_<vXQ|KJ=QmZ~XN42%B1hdX@LBFKQ(#;RCUVwj7KbAVT47o#I4-QdNAIvvFvVYa#"
    "<)s^=E7r86DG+;za(wzwsJNAL;VKp7JHf6!H<|szG}ncC!v*`jg*_4fNOm%w&y%QY6a|fj{a9}Dbb&+{>~AY^gr97A"
    "b8n?RGru7(;r>zO3hLtA@5Vugj`rhT($(7ax{(I12?e@{%{9>*1QpZ+JwV<hr`|%#h>!T7`axV^e|SLKBCdk^e-wHs"
    "?0^TuJK<xNdB?X7UPW~Z^T9a^14$U4h#QzEs*yt+MVM_EpBh*W`OGpeZKW&mJ_PWvZ(;b9uuoN$<7#xb`}r4oh#Gm}"
    "8Y*>qtY>ZsDEothe@)#P{uQ!?gS?!$0_4R5pkv0IrBl(=waWeV%*cnMaNp~7)VK)&xf=VV{(IyheUtHga}kpRtl&c#"
    "51Qw&y>hK_SKya}&%p>Y4DFCNshDQ%VzFivY8{JB!#W`CsP>{`v#wz2p3CP1t?yT~`}xdtPd}g?H6W<`kZ3RL3;IRg"
    "?Dxpbj&?`EqQ5u7+^YAf6;*#meGC~yvoP+u^jf&ot^sC4lFxQcR^vZzdwp1>o^5X^YGQs7r^%fE7iJVJFIZPRV;1)h"
    "h-YDGhs%zxmS?Dj7Y~{oT|7LVTm3wnW%;~kyoaSi{YR$kx1DHwUXUlKx$PG5>5dV_6!GAOIoJU;R?bYjl<M)ZLtREe"
    "qOXPJ=`UOlQDPn94YypGkK&bT)cD-SafEQDNwBvYyxQ1}XXg7FLhoAQ2`&f8L-LxBf~R~XA&6dxdK7%&`TCULulKPm"
    "=>2YNsZgXf-xMWMZrq)@o*kqqSM;l1_vMz;1pzEMU%(%h(^9N9NDq(Dk7pW#xB1}45pg$(8>TDncW(R&U3ygLzGFcO"
    "`G-!}pv=HeilTA!bnhJUU4#h@{1M5Hc3Z=*cDo(!$KP`YJuXjJYKqL^HH!-L%yQw{7jYZpoAgw1|4w$)GjWkRD)n5$"
    "f3W{Ia>jK?8;-HWI4E7X|EbJ*XEuOF*mkOHQ_`OOSqlg3>f@nN`^JNV=zaW|ulwnWwHoLV0bC=*a|{B%?F}7c7<a&r"
    "Za5>Cv#w@+BJP;CBJ_ly8JmzkYerFgc$V*VA^V+SHix&@m0op#fZjTl)2JQ{vpkA?zOH5}9_dHKDKbXp2kf^|N2dPs"
    "{vTkc^Ht@}UPWAlI;E+6OT6P^(t2g>;S5M;>Gx9J0!HD*_?(z8L=KOzkArw6@+Hf%DVZ1feE30}bpJMFJu*`*sw#wN"
    "V!^urH_`4;I33pZ9sfA3b2ZA*7j8XD3w?PH`HgA<@mNuhaybR&Z}<c1Kk7>CfCPZ7mrGygIO-DiZ2c0L&s_I4IM2xK"
    "zfw=Q{yN}>8flg|(~VQs2<*nBE)z0J(E_~zpLHTRjjl7^wvkDhkd}B`e3B|gg?WSkr-Xdp#1R@nydrkoAexJSEAWpQ"
    "I8O*<<c8n(2J1mN&UCu-eM)@77OH|kh{r3|yXSfp<KH9R6t^H?BjbemjCC$?!G3unzYyYu4*RMY4ya!-B58USV&rGM"
    "e}6padf2F!JI8e*)<eDpA0RxG2fRj|jEn9oCg42JIuFy~dC-6<TKEd`Df0mc07?a)J81%Dohj)LxXBFzfU2s=W*F#9"
    "6T22E%N}E#Gl$wEAI#FkJv=(_I)Xkp%LD+xeZmYK>i|>f@t1!24DkUhzv-m|$JucI##G!#OFavVEr5SyL5FAkY{Q!h"
    "@j={c9dI7<iZrNC_rDyvq9R`Ou!C33S(E~a#m}iyT6WdC2K@n7kV!?v8S58_O%>)@HsC+BgJZRelFqCTa#sE)H~mD}"
    "LZQl^P#usDxK`U@Urz+7)W6nM_{pSvz$y4O&GFE+6eHa5+X8(7D6lTVTUfPGaUF2gNOgdh+zr$;#bZ7oct`zmtm7FE"
    "Jt3crk@le<H7d7*-%ivg?VMh4pGBUBi{119EszysA26d{Pxp_&mjqwXx1~hp%feuHNE;cPjKr(6=l&54{UXZK6cF7X"
    "v;FAr&LrYhA<$-AAtyuR{5kO3o;=s4NtmbbTJ>j8AZ<v<8QV*!h>}LHc}M2!2KsAa_S?!1@IONwAk1$rcFI-poIuA!"
    "oHoeQmi(V}gr7@?kizw20aZ$?evD+oJgr3Cns{%C_N={!p1dg!P2Kw^)CZ&$kBsh=f1@Ncl#EmexXS_`Lk-h&L_Kwc"
    "Bkh1R+LJ{btvo%Ux}Z+X))XT$yF4eLK53CwOVkzQQ{pM|L*hZ&J<LOcbrR%s%r6t=>sgc-2lHInd*HhHvo(mvdYGTD"
    "0K40L0uQ|9tFdVsB_Ec1L=9_#|1!&J$2gj}o{LagwOAyoR2b6Qr_`xDjNJiJ_|z2z@$U4vWB#8}_fQ{*g=U5Y0;Je9"
    "?v6SJpQ&5_ys%zT(EEEwUWmHVI5tIU=DCXcl=hTb;ut~+Ibt8ag8?)jXkI}5huGlh)Z3?f5$(hD_72aMaSeQg&+8-d"
    "L#KArgb<Is9=5-S{HG_+@R^_ZJk)id<pF+EvN;1eUJU#l`sL?8K<<I+vktgw@pwk)FA4j}c7g7CpYVC@#%D0|!LiUT"
    "{&+8NL+%6qGEojm)DL27d%FI6iA1r?@FVEKAsM#^_{$Sk85o~k*?JZv-iP(DqCGZ>r?4A5_Y_*S`)9~^kGNRs{&4IS"
    "MI4)39|84HmMaP@;`*|%^vF=z0{&W)<zj!>e^t=0ko{F|`Zw)jRH3?0__3k@+HZg#CFY5lb-!UfBlm;eJ^kOc=iesC"
    "El^8YOaOp$<ya5YU&v=CD1gsn!$}lcAj|Q2s&@e#X~Dnjo%m-K@_Kxp7dk=JXi{G^PL6Iw953*(G;3XkUH35fee8Yg"
    "02vxl8s0nap>N>ZZH}XQ@X$wJn+B$v2Es;Qh0WTIe!ed7KNQcRn1uNNe1P?p`vyMsafAJu%^l)+SYt08^R>pI@&$O?"
    "7_nauT*>}ncq0EsehLZnRPh;d4dsfOr|1kVpc*TxsgP&dX}+OmWOVp}wO9}KHEZps1i7M~%L2P&aq>a`^XR_CuSWs~"
    "4_<#7BSH%GbNs6H<c7nMDw%Czsaf$M>%lcCUp+zS@XGK1^?ubj5*U@Q<9g7a_U8~s-mV*9gF>;R$Nk6)CpKirPfzJO"
    "f}fpE3#w@DYY88fd92I}^99!%$SjA6ubChaS5?(CiXQCx{!p^6tQ#`es$$;<yd3of&w&z}h7^i68FYQfxV^;{(y`W?"
    "%5KCqf_$=P98;;pFL=ME8xMrt3Ts)#;P+5WqkTTl{s!!~R=n*k`!e7y4fz7Ql(d85Kk@~Kd{AZFoo+lqenx##J9q5t"
    "?ytZH>rYXDH_gpYQ1(wJ)T2Oso_+3HQa?@XPi%c@S&75}z*CO#0_Q&v2VuL4&xYMAk5xVd`IL~*e&C}n(O=*`@JCpL"
    "^_m^N{{FaXkXjXwk#E<`i180=a;Eiat;$~%s1x@a3sy_HE4?574cyiUeLUlQ<lUJ(6#Nl!lbB5Qz!gUE8-AF_ucCfF"
    "OvI@YPVC|;kAYJt{s*ywO6jj}n5+8%e1U*O?`IzN6+D)FzoNe9IW6^%<H&Yc4ZmNLyWMy&6zjE7NxsC_z)AX77Wg;*"
    "<wWaCukpdYDBeFIS^i5iVqNA(;tS%unHbIfFb-^k)bRH>sQ<Se>mlPJ_^u()gL^_hGl>)F`Qsz--0M%!8W&>NqlSYg"
    ";l*hI4TuZd7FL^8lh*U%#^a#<%|>x^S%MJ2-iTjeU&gWQEPu)UFY-I`GU9pih2_-K_wbXxPVB*J#_B60PudF-KisjQ"
    "7eTMv?|!3gr#=C%b3Ntz6L4M)y=Y%Yn{4Ai(C7$YV9z<nk!T(S?l}W55l<sOOyC9Dw**7mUb1nq`LBSv>7wiram;)Q"
    "OU`mv9>`yV+n|mjR!|SweBz^!=X&DJiadwh3Gm&4%+r2^P<2rL)dC7@A6WSi0~}y{Wd9O^bRG4;-fs;au+aOHQ0uzR"
    "fTF2Q6z%K@Fxm*59@u!o6-Vu}TP>Z$+j@TBjAxM2G}=@I80h1;W}fG{hSMf8foHnmbodb-x*$$q*&yffj`eS5AJnOR"
    "p+9XzQS2VskA1;W`<%VZaRXQ&*Nc*4ZF2R17RZ&np}%CwnBQCEgPwZr{I|jZ{#Q{?<n`$*!yhrp25)4yQ(pT5w%L?w"
    "*UFCLoE*<fAnxcG{|+vh+Yww5qz(GccBTlqgMjPwe)1yXQt&At{|$LI;}m{~by`idHfNQ7i}x$mO)$VfUdp2gLWjx#"
    "$LM*J>ZB=O`w8UGjb=`(ESuZa{;Fj>DKB9YC?!@i_zAmDSzqZ!i;+T0WF^!;CcmD17CfcO9Y0=9LR<bez)w%P52tdn"
    "nF_E@j6iflo{d#!1e}9y%L($jVT7MK7M|c<<)-5yi9!#(0(*B<KSZXZ9*eGX)VJ1MmTTf1;K`Z$jL7cXAHqz!hrn81"
    "u2#tZ-Q#XYo<NUnj_RhHh`dr^y$O2V=z0O}2HwiP-*(P*Y;Q@M6MIs?N`T?zs%wBoyIrTegPkG3daaxIYh{hfYiu)K"
    "zi>U^w-x<2_jQ`sdR9r)*T8emFvE{mE8woS1&=|wYMHl?-!G|HbqvbPGgu!{F9?(IeB{nn^CU=8RH8UTXOxdPZN)<2"
    "^-RImhb}j)cp%Z-N9>1P*k&^@!4bR$^XDrM#_-(8cA^DhJ!+o_QHcb)XI{m=1F#~Srbyzz|JeWI*$1TqVArq@`Q%aU"
    "00%_A(evJbGEyL+VBb7w=-nOcx5GZ*RZP#-ryt^#bs_iN=&#fD@VyUKeS%#8q{ySo74Wv=Tz4<wLcJjGPLF@?KokL9"
    "*5F$rc%RSZAp-jYiTry|xhWs&%dY^|f_UHky6bp46Dsh~260VCzUkSqFXp=lp3L;YHf#37%6=NV^dF2*$ah!=_U*c^"
    "QNM!Th*;O;Rgl-MMpxf(Im(=;zKsQOB)%AshrqF_AM^gHFIT(>Dn0doUr{l@ny8Ve4~X-0S=cWQY-64u)SoD4m=o-_"
    "i|Sto^+%QCo(JmCH`0R?TIV(+;u{oiyk4o9d~VsZA4kK{zJThY_N{3DC#(Jp|D!)P(R=DAfXee6j(u+0_s2glY;frh"
    "<Cv(Gr)iEbR2Zh!uPkiDUw0dq`#bRGHv4JrPiq}yF+hDGUxT{=hZH3W0_0SSVc&#cIevDca%%_IKS<aEk2}=CCZD5q"
    "tlPJGNBkGA4<UWAX0;Og;~!PdxbR$F*IQ!8c+BUw;Xw~I1Gpd*n&WY|)00(AlOUnEtvSle#B%~%e7KSd!0?%8!SCe&"
    "+%@<L%OPMqVgLm(49TrZ_VqgCAND_h`(23rmMz&pI!Oa)H5$h?1CSkg8#3PGevrUoe?cB4m!Mx24s|?gQ?&Z=C)%?L"
    "xqb)48L$-Vyx%vWu8HS)9>;#M*M4zsw_A7j!ajrjx8MG>+ijSZD%`fc>7i#s8kPEpstbO`zEj}2HfIxz_T56w^SegU"
    "7e{@_mFEIR*p3Vf`_s_Z3gM`qW6_@W)NO8io(pil2R#o!75=HQ2R&AXf4$J5;TWoT@Q)su6*qeA)9P7CU12}{=|aEI"
    "gGN{}>`_B}i+xVY0@$y}eNW)4$MLla)9>{VD&yu~?!){=?FpQ#{V+UN|EH8OA?EAD^~MW&?ZeMsT*2!lGZExO1K^>D"
    "_UboIkNzAk{LBYwo;Vy_*grr9_<r4y_QM_WI*N1@MDEV)?^-F?54LgvUMJl{tyF&tswfQ?;1J2@X3*blU&rVbm%FfK"
    "gUMBO->KmJjyN5zvJb><h%?=1Xldv@Hi>#3;+kh+@S>ySc*8$@rO5<%Wp4mjWP4e(9eU979muTBHvuLS_S3^i7(u^+"
    "f3x0B$Xn5Ed&M*`(;yYr0h&czu=cf+&h<DRNLmws%X!`eUgM1BE2LTcc9+u=5|~py*fH<q{#2Mg2g?JWG(`Z0sQIMz"
    "HP`z$9)vTY+QU(sq3a0TaTuS87cQXHWy8K3c*NK=W1;7z$R}zC=%HD!kWi3p@?4JsS@?qT{y?6mcI$`vnP~NzdBe@l"
    "jrP4bQIx|G>2yLB0ZbW&scrW>4vCrv6X#uw;y0JiJ@CjsHgU;#m16{FrjNFL*pvm90iW7KkI19oAxH%f_wydO<p<r@"
    "%^!K3#p9?g`&-mgeAd=bKpb77@=D!Lg*>Kn3Z(z%8GkeHhdxQh*?-Z#PwieNI7z4jNgV7G2KF=e-}xEO<!Z(GA)<bB"
    "D5C_W6fUQJW3EU;wR|nA%6Q=MwayI?$Ew4V?;rA<5c}-6If2G#LSVN>Vxw~gxA+aG6Wdr``bWsY;}d*tsLw?yVEV!X"
    "z9`can8(;;(K@EQb5GvV7VHOR>Fv#*wkkjJJ^e+G&}YWZmIFO%|KKZ@3E+I56Y4yJM8tKTBj6mH(t$wla{z#0`T~5S"
    "JT@oX1buQYhtTi9^GJsNJ^(138K-WBdRX^@wi&)16vB}P_GPZi7Jhc=vwU7|^HtFILoD+gU5Kj3%cbw@Z~J<kFEEIw"
    "DZyQ8#4pckNA*)Z{^)z;g0v`@Cmg_SQT?6qxcrI4Kj0ym7JyfQ*MuwhEmq^H;>1Gu>hGd+B(u&XUG<z=aO(qhvD^Lj"
    "C6FoR#JO)DxQ@=d1;!cAtw*3I7A*1*9$Uyg&k^(7V0~zLP8d!pmO6h0{c~Q%<b2M-E6zD2p!QXVJUnQ>7u+b@Pf2`p"
    "&$6~gJYjQ(ZcZj{Pr<RTz=Iy1-wp-OwK<2TcI%1v8SgsxFhFE1Toi@nLKV~eUtH5=`LG`Ju)WabbZYCTKQ;shjp7w5"
    "i19l?9|c5xVgDWPdb|dX5Aa{c2kM<<`>H(w%!Mq1=i-C*tvqm4>oUe6Z~tu`=x3^U<WuY`7n1w~X_fDbFV^|w+v~Yi"
    "MEw+<OS}D0o=*E>9sk1X3NYX!NLz^=9JyV^U5SU<d$v~Dy*v^$GLJCtdY$8I*`+(ao?FQ`-p_uZXW!+@`9+u+ua#fH"
    "9wV-*DYsD`oX-h)KIrl~-~pEE<ya)=qDIzeHEJd<j<`tAm6ZRGU<Yl0JMuEE>!SU2=nS8-b*z09`rXS{&PnKa4hI}l"
    "J{P*pjaii+^1(*|)4*@CRv9NQ_Pma~U-H=LFR(X3Cg<W_GmOqhC?A2HM|m|1{X6PaHS>Yfe8723TaQc#PW2V#HGhB*"
    "DL|rOP&c)4o$*2LW7VYnhzDr_zv&OuUw6Z=LG!fEHSy%Mf|kj{2^>kh$a`IE8=X>2@b1bUMTc~FF6}cPU|3e}D7_Lz"
    "^2;Vv$m{KIaa90!(VcXjuWzq;j!5TZ7)PwD6~bd;KVW<~tV%s28%Omsk8STY{(t5C$!+{p6H`t8u}A!qf$pE#7mA=g"
    "WuD9FMe+O4HageWDxY%X(;BbSwCfaK<n@>aKC$n2(`(JXJM;fG(JwiAoOHd>b3n$$DUi2l`6<az0N;0cPJoEw*56{+"
    "3HsLtlFAo=FCJDIuO#LBgU;(%@O`%d5Ax*uS-!^|&-S!W$#ZSUfxl@ROxb392YK@Q*su8WuFJDoC7&11JWpjiiF1*7"
    "t(+2ZGCY&$tW8YCdcB5SHU8-s+!xO;=r81NSSO%l4hV=sak8ERw7SortR%{7AMbwbba2Qx28*75SBe+(d;;<782;<5"
    "7pJ9X`@Fl&4ME>|zAEw@Aom|R%!bz-w^Y2>_fNFPYoA2<?blA{1=;t|b3^Lad(Lrl5LlllJQyt7pmLmfmg}3<3LK06"
    "!TA%S*_v|#s4aJQ?p5xdb0i!TWFKc5?7F#jz%6U&Y2EMu9QP;APpRA^(9@+R{xP?L&-it;s~vonyARiH%zaLsW7HFY"
    "bs!kmxenj(JQMn++(zxf`DB~@nEhMh?wF}_|5JG1C@AeMGZx-|=G+tlu06wVBDcqVd-fSse?9#d_|U0;G5>XkW*v3x"
    "c1^!tGo+ChR{XrC+}bVF^H}()%0s(bovY}yV}9d%<mYPFtZ(6*K#~1v<~gnCxdi)Eb<lNje{LMcHrP8&Lz3qqS^hZJ"
    "34d$z908w$^w^Yn-b0i_$?)}@Cj~=BuzqjrpBs*}7|t8^!<GF8S#qD8M|Taj8y1~G10IkCsiWdi$;iPb0PwNPv!a@I"
    "c`D-~<h#MQzHd3L;)2fU*3@*=IV8$e@%%;W3y-50o~DEJpaPIz>s)-@znn8%yDUNTAPa~Pm+Ru%a_0HbFNCWk!ovWq"
    "*>#MF2;irMfx}@&9o)R|+?#mVX#{dUm(L&E`T!mCyyUJG9)X}9GeCPbQuG|V2X9LDds)}%BW*T-7a+DglN)jBiG#G;"
    "T%<VgI8Y$?dqKR3g$tO2{Y>)3pLr?~7v4{twFmys)6MrBco<n{IG?8ev*$URWc_W}KGrAbd@^;ieCGM{R%dJ6?fq(x"
    "e4+NNwaFW`?vw7ijI*Qb2ho$3bsRXS_9oXwN8F_Lha4|#+gWXwlsac5obe+}arX_!0(53F=Lz?%K66eqDE{Yj5VcOf"
    "Ym(2MBz`}K`iqT_yH*eed*rcvr?67bEnfMMetQIdoj3=_w(ISEj@fUwR_7pd{|_XFiAHgao-h2Db!t0|*Ie%bWZ^{1"
    "WyyMUpwV85QyA30Oqu%w+A8{Pcx(lPgJbyGkFSRZexIZUeMvf3?{$t?dk;Sohqk$2+N(ZMw!KT2?TKZa@Xdt_2f$I?"
    "=SAm30H5i3phuV6xm1piJM0VP+#SZiFFSA^L*OrpcL~dtCP<@w2)GD%WzTanguo^y5JnzXfEVcZ0EFN3(XstL5b|-B"
    "H_ydI8>Y6?)FHQXe)diX@k~uZo#8lmuJqswF626b>#;ZwRQpr@UIEuL1^W_o4Ea7cz`Peypb~>qzS?=#&Y<$qJufLm"
    "m*+$141^Y5dvf`EE2yKK-_q|x5cl>e8P~)46a7+KF$3{2`v4i=gNKvG5O074=9wv(S>JKNsa5_^{Q+4_&+{oK=d(~D"
    "pu?uoLx(z!Jf(3x=Rcz6*?eA}iGB)qi0((i3)VC6_K@p)Vmw|K==m$LtH<Xde=aid6oL&Ok~MxmfJr>-6Z^j!#(=}a"
    "aEall9iTvt7#%%`l!xB~IE<8APc-39+&|~4dES2V#P^@Zn0!Th6s0~ldrH`+&T!0sczm2l@qq8kJ8{_GOJ_JQ0-BO8"
    "LBA)`(w@k^fQ{0gRAu6)iSwelG0fyI`n?T3SVWnN`Fj(HPuQD%54oKbSC(@)ruwA)mE13cKR)E|LAe`^wfw4!eo26J"
    "kaa%$kDf>C{4N}Y^EwCh1(t^MGx(Vh7Mr!)emFAA1}Qc)4A2zPKHww!w%+j@7NQ9a;psg6RkA;KxgVIRU*;`p_Y%+?"
    "a+8-sa0EO&ugvnW&#AbLQu-v{aI99)DD-dg*APs+a&8H-abAPep)DzYz`EY_qkgX-*nHMVK7CG%4;cjY9dC`@ISZz|"
    "%gV^UHP2z3V5k2HME)>x"
)
